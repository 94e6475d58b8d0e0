// An outside issuer: OpenID4VCI by @openid4vc, SD-JWT VC and Token Status List by @sd-jwt.
import { randomBytes } from 'node:crypto'
import { Oauth2AuthorizationServer, Oauth2ResourceServer } from '@openid4vc/oauth2'
import { Openid4vciIssuer } from '@openid4vc/openid4vci'
import { createHeaderAndPayload, StatusList } from '@sd-jwt/jwt-status-list'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { callbacks, hash, Key, payload } from './crypto.mjs'
import { serve } from './server.mjs'

const configurationId = 'card'
const random = () => randomBytes(16).toString('base64url')
const now = () => Math.floor(Date.now() / 1000)

export class Issuer {
  statuses = new StatusList(new Array(1 << 17).fill(0), 2)
  nonces = new Set()
  issued = 0
  notified = []

  async start({ tls }) {
    this.key = await Key.generate()
    this.key.publicJwk.kid = 'issuer-1'
    const context = callbacks({ keys: [this.key], roots: [] })
    this.issuer = new Openid4vciIssuer({ callbacks: context })
    this.server = new Oauth2AuthorizationServer({ callbacks: context })
    this.resources = new Oauth2ResourceServer({ callbacks: context })
    this.url = await serve(tls, {
      'GET /.well-known/openid-credential-issuer': () => ({ body: this.metadata.credentialIssuer }),
      'GET /.well-known/oauth-authorization-server': () => ({ body: this.metadata.authorizationServers[0] }),
      'GET /.well-known/jwt-vc-issuer': () => ({ body: { issuer: this.url, jwks: { keys: [{ ...this.key.publicJwk, alg: 'ES256', use: 'sig' }] } } }),
      'GET /jwks': () => ({ body: { keys: [{ ...this.key.publicJwk, alg: 'ES256', use: 'sig' }] } }),
      'GET /types/card': () => ({ body: this.type }),
      'GET /status': () => this.statusList(),
      'GET /offer': () => ({ body: this.offered }),
      'POST /token': r => this.token(r),
      'POST /nonce': () => this.nonce(),
      'POST /credential': r => this.credential(r),
      'POST /notification': r => { this.notified.push(JSON.parse(r.body).event); return { status: 204, body: '' } },
    })
    const { url } = this
    this.type = JSON.stringify({ vct: `${url}/types/card`, name: 'Card', display: [{ locale: 'en', name: 'Card' }], claims: [{ path: ['number'], sd: 'always', mandatory: true }] })
    this.metadata = {
      originalDraftVersion: 'V1',
      credentialIssuer: this.issuer.createCredentialIssuerMetadata({
        credential_issuer: url, credential_endpoint: `${url}/credential`, nonce_endpoint: `${url}/nonce`, notification_endpoint: `${url}/notification`,
        batch_credential_issuance: { batch_size: 5 },
        credential_configurations_supported: {
          [configurationId]: {
            format: 'dc+sd-jwt', vct: `${url}/types/card`, scope: 'card',
            cryptographic_binding_methods_supported: ['jwk'], credential_signing_alg_values_supported: ['ES256'],
            proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
            credential_metadata: { display: [{ name: 'Card', locale: 'en' }] },
          },
        },
      }),
      authorizationServers: [this.server.createAuthorizationServerMetadata({
        issuer: url, token_endpoint: `${url}/token`, jwks_uri: `${url}/jwks`, grant_types_supported: ['urn:ietf:params:oauth:grant-type:pre-authorized_code'],
        dpop_signing_alg_values_supported: ['ES256'], 'pre-authorized_grant_anonymous_access_supported': true,
      })],
    }
    this.metadata.knownCredentialConfigurations = this.issuer.getKnownCredentialConfigurationsSupported(this.metadata.credentialIssuer)
    return { url }
  }

  // offer makes an offer; what is given under it may be revoked already.
  async offer({ txCode, revoked }) {
    Object.assign(this, { code: random(), txCode, revoked })
    const made = await this.issuer.createCredentialOffer({
      issuerMetadata: this.metadata, credentialConfigurationIds: [configurationId], credentialOfferUri: `${this.url}/offer`,
      grants: { 'urn:ietf:params:oauth:grant-type:pre-authorized_code': { 'pre-authorized_code': this.code, tx_code: txCode && { input_mode: 'numeric', length: txCode.length } } },
    })
    this.offered = made.credentialOfferObject
    return { link: made.credentialOffer }
  }

  async token(request) {
    const { grant, accessTokenRequest, dpop } = this.server.parseAccessTokenRequest({ request, accessTokenRequest: Object.fromEntries(new URLSearchParams(request.body)) })
    const verified = await this.server.verifyPreAuthorizedCodeAccessTokenRequest({
      request, grant, accessTokenRequest, authorizationServerMetadata: this.metadata.authorizationServers[0],
      expectedPreAuthorizedCode: this.code, expectedTxCode: this.txCode, dpop: { required: true, ...dpop, allowedSigningAlgs: ['ES256'] },
    })
    const body = await this.server.createAccessTokenResponse({
      audience: this.url, authorizationServer: this.url, expiresInSeconds: 300, subject: this.code, signer: this.key.signer, dpop: verified.dpop && { jwk: verified.dpop.jwk },
    })
    return { body }
  }

  nonce() {
    const cNonce = random()
    this.nonces.add(cNonce)
    return { body: this.issuer.createNonceResponse({ cNonce }) }
  }

  // credential asks for a DPoP nonce by headers alone, as RFC 9449, Section 9 has it.
  async credential(request) {
    if (payload(request.headers.get('DPoP')).nonce !== this.dpopNonce) {
      this.dpopNonce = random()
      return { status: 401, body: '', headers: { 'WWW-Authenticate': 'DPoP error="use_dpop_nonce"', 'DPoP-Nonce': this.dpopNonce } }
    }
    await this.resources.verifyResourceRequest({ request, resourceServer: this.url, authorizationServers: this.metadata.authorizationServers })
    const credentialRequest = this.issuer.parseCredentialRequest({ issuerMetadata: this.metadata, credentialRequest: JSON.parse(request.body) })
    const credentials = []
    for (const jwt of credentialRequest.proofs.jwt) {
      const expectedNonce = payload(jwt).nonce
      if (!this.nonces.has(expectedNonce)) throw new Error('unknown nonce')
      const { signer } = await this.issuer.verifyCredentialRequestJwtProof({ issuerMetadata: this.metadata, jwt, expectedNonce })
      credentials.push({ credential: await this.issue(signer.publicJwk) })
    }
    return { body: this.issuer.createCredentialResponse({ credentialRequest, credentials, notificationId: random() }) }
  }

  issue({ kty, crv, x, y }) {
    const idx = this.issued++
    this.statuses.setStatus(idx, this.revoked ? 1 : 0)
    const sdJwt = new SDJwtVcInstance({ hasher: hash, hashAlg: 'sha-256', saltGenerator: random, signer: data => this.key.sign(data), signAlg: 'ES256' })
    return sdJwt.issue({
      iss: this.url, iat: now(), exp: now() + 3600, vct: `${this.url}/types/card`, 'vct#integrity': `sha256-${Buffer.from(hash(this.type)).toString('base64')}`,
      cnf: { jwk: { kty, crv, x, y } }, status: { status_list: { idx, uri: `${this.url}/status` } }, number: `O-${idx}`, address: { city: 'Nagoya', street: 'Sakae' }, roles: ['a', 'b'],
    }, { _sd: ['number', 'address'], address: { _sd: ['street'] }, roles: { _sd: [0] }, _sd_decoy: 2 }, { header: { kid: 'issuer-1' } })
  }

  async statusList() {
    const { header, payload } = createHeaderAndPayload(this.statuses, { sub: `${this.url}/status`, iat: now(), ttl: 1 }, { alg: 'ES256', kid: 'issuer-1' })
    return { type: 'application/statuslist+jwt', body: await this.key.jws(header, payload) }
  }

  async report() { return { notified: this.notified } }
}
