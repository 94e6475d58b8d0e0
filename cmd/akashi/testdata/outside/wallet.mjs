// An outside wallet: OpenID4VCI and OpenID4VP by @openid4vc, DCQL by dcql, SD-JWT VC and status lists by @sd-jwt. It knows nothing of Akashi.
import { randomBytes } from 'node:crypto'
import { clientAuthenticationAnonymous, clientAuthenticationClientAttestationJwt, clientAuthenticationNone, createClientAttestationJwt, Oauth2Client, resourceRequest } from '@openid4vc/oauth2'
import { createKeyAttestationJwt, Openid4vciClient } from '@openid4vc/openid4vci'
import { Openid4vpClient } from '@openid4vc/openid4vp'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { DcqlQuery } from 'dcql'
import { callbacks, hash, header, Key, payload, verifyX5C } from './crypto.mjs'

const clientId = 'akashi-wallet' // a public client
const redirectUri = 'http://127.0.0.1/callback'
const formType = { 'Content-Type': 'application/x-www-form-urlencoded' }

export class Wallet {
  roots = []
  held = [] // {compact, key}, in the order they came
  seen = [] // what went over the line

  // start takes the certificates that the wallet trusts, and the key of the provider that attests it.
  async start({ roots, provider }) {
    this.roots = roots
    this.provider = await Key.import(provider)
    this.dpop = await Key.generate()
    return {}
  }

  fetch = async (url, init) => {
    if (`${url}`.includes('/.well-known/openid-credential-issuer')) { // the library (0.4.6) reads signed metadata and does not ask for them
      init = { ...init, headers: { ...init?.headers, Accept: 'application/jwt, application/json;q=0.9' } }
    }
    const response = await fetch(url, init)
    this.seen.push(`${(init?.method ?? 'GET').toUpperCase()} ${new URL(url).pathname} ${response.status}`)
    return response
  }

  // receive collects what a link offers, batch credentials in each of a number of requests. How an attested client proves itself: 'library' or 'challenge'.
  async receive({ link, txCode, requests = 1, attested, ...how }) {
    this.seen = []
    const instance = await Key.generate() // of the wallet, for its provider's attestation
    const context = callbacks({ keys: [this.dpop, this.provider, instance], roots: this.roots, fetch: this.fetch })
    const client = new Openid4vciClient({ callbacks: context })
    const credentialOffer = await client.resolveCredentialOffer(link)
    const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer)
    const authorize = credentialOffer.grants.authorization_code
    context.clientAuthentication = attested ? await this.attestation(context, instance, attested)
      : authorize ? clientAuthenticationNone({ clientId }) : clientAuthenticationAnonymous()
    const [id] = credentialOffer.credential_configuration_ids
    const token = await (authorize ? this.authorized : this.preAuthorized).call(this, client, { credentialOffer, issuerMetadata, id, txCode })
    this.grant = { client, context, issuerMetadata, id, clientId: authorize && clientId, how }
    this.use(token)
    const credentials = []
    for (let n = 0; n < requests; n++) credentials.push(...await this.request())
    return { version: issuerMetadata.originalDraftVersion, signed: issuerMetadata.signedCredentialIssuer !== undefined, tokenType: token.accessTokenResponse.token_type, credentials, ...this.waiting() }
  }

  // use takes the tokens of a grant.
  use({ accessTokenResponse, dpop }) {
    this.grant.access = { issuerMetadata: this.grant.issuerMetadata, accessToken: accessTokenResponse.access_token, dpop: { ...dpop, signer: this.dpop.signer } }
    this.grant.refreshToken = accessTokenResponse.refresh_token
  }

  // request asks for credentials under the grant, each for a key of its own.
  async request() {
    const { client, issuerMetadata, id, clientId, how: { batch = 1, did, alg, keyAttestation, encrypt } } = this.grant
    const keys = await Promise.all(Array.from({ length: batch }, () => Key.generate(alg)))
    const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata })
    const proving = new Openid4vciClient({ callbacks: callbacks({ keys, roots: this.roots }) })
    const jwt = []
    for (const key of keyAttestation ? keys.slice(0, 1) : keys) {
      const signer = did ? key.didSigner : key.signer
      const proof = { issuerMetadata, credentialConfigurationId: id, signer, nonce, issuedAt: new Date(), clientId }
      if (keyAttestation) proof.keyAttestationJwt = await this.attestKeys(keys, nonce, keyAttestation)
      jwt.push((await proving.createCredentialRequestJwtProof(proof)).jwt)
    }
    const answer = encrypt ? await this.sealed({ credential_configuration_id: id, proofs: { jwt } }, encrypt)
      : (await client.retrieveCredentials({ ...this.grant.access, credentialConfigurationId: id, proofs: { jwt } })).credentialResponse
    return this.gather(answer, keys)
  }

  // sealed sends a credential request encrypted, and wants the answer so; by jose, since the library (0.4.6) does neither.
  async sealed(request, enc) {
    const { credential_endpoint: url, credential_request_encryption: { jwks } } = this.grant.issuerMetadata.credentialIssuer
    const key = await Key.generate('ECDH-ES')
    const body = { ...request, credential_response_encryption: { jwk: { ...key.publicJwk, kid: 'wallet', alg: 'ECDH-ES', use: 'enc' }, enc } }
    const { jwe } = await this.grant.context.encryptJwe({ publicJwk: jwks.keys[0], alg: 'ECDH-ES', enc }, JSON.stringify(body))
    const { response } = await resourceRequest({
      ...this.grant.access, url, callbacks: this.grant.context, requestOptions: { method: 'POST', headers: { 'Content-Type': 'application/jwt' }, body: jwe },
    })
    const answer = await response.text()
    if (response.headers.get('Content-Type') !== 'application/jwt' || header(answer).enc !== enc) throw new Error(`answered ${response.status} ${answer}`)
    const { payload } = await callbacks({ keys: [], roots: [], decryptionKey: key }).decryptJwe(answer)
    return JSON.parse(payload)
  }

  // attestKeys lets the provider attest keys, with the typ of OpenID4VCI 1.0 or as the library (0.4.6) has it, which is that of a draft.
  attestKeys(keys, nonce, typ) {
    const signJwt = async (signer, { header, payload }) => ({ jwt: await this.provider.jws({ ...header, typ: typ === 'library' ? header.typ : 'key-attestation+jwt' }, payload), signerJwk: signer.publicJwk })
    return createKeyAttestationJwt({ callbacks: { signJwt }, use: 'proof_type.jwt', signer: this.provider.signer, nonce, attestedKeys: keys.map(k => k.publicJwk), issuedAt: new Date(), expiresAt: new Date(Date.now() + 300e3) })
  }

  // gather takes the credentials of a response, or remembers that they come later.
  async gather({ credentials = [], transaction_id: transactionId, interval, notification_id: notificationId }, keys) {
    const { client, access, how: { notify } } = this.grant
    this.grant.later = transactionId && { transactionId, keys, interval }
    const out = []
    for (const { credential } of credentials) out.push(await this.take(credential, keys))
    if (notify && notificationId) await client.sendNotification({ ...access, notification: { notificationId, event: notify } })
    return out
  }

  waiting() { return { interval: this.grant.later?.interval, seen: this.seen } }

  // later asks for what the issuer had not made yet.
  async later() {
    this.seen = []
    const { client, access, later: { transactionId, keys } } = this.grant
    const answer = await client.retrieveDeferredCredentials({ ...access, transactionId }).then(a => a.deferredCredentialResponse, error => {
      if (!error.response?.response.ok) throw error
      return error.response.response.clone().json() // the library (0.4.6) refuses credentials that come with a notification_id
    })
    return { credentials: await this.gather(answer, keys), ...this.waiting() }
  }

  // refresh asks for more under the grant, with a new token.
  async refresh() {
    this.seen = []
    const { context, issuerMetadata, refreshToken } = this.grant
    const [authorizationServerMetadata] = issuerMetadata.authorizationServers
    this.use(await new Oauth2Client({ callbacks: context }).retrieveRefreshTokenAccessToken({ authorizationServerMetadata, refreshToken, dpop: { signer: this.dpop.signer } }))
    return { credentials: await this.request(), ...this.waiting() }
  }

  // attestation authenticates the client by its provider's attestation (draft-ietf-oauth-attestation-based-client-auth-07). The library (0.4.6) makes the
  // proof of possession without the challenge that a server may ask for, so with a challenge it is made here.
  async attestation(context, instance, attested) {
    const clientAttestationJwt = await createClientAttestationJwt({
      callbacks: context, signer: this.provider.signer, issuer: 'https://provider.example', clientId,
      issuedAt: new Date(), expiresAt: new Date(Date.now() + 3600e3), confirmation: { jwk: instance.publicJwk },
    })
    const byLibrary = clientAuthenticationClientAttestationJwt({ callbacks: context, clientAttestationJwt })
    return async options => {
      options.body.client_id = clientId
      if (attested === 'library') return byLibrary(options)
      const { issuer: aud, challenge_endpoint: endpoint } = options.authorizationServerMetadata
      const { attestation_challenge: challenge } = await (await this.fetch(endpoint, { method: 'POST' })).json()
      const iat = Math.floor(Date.now() / 1000)
      options.headers.set('OAuth-Client-Attestation', clientAttestationJwt)
      options.headers.set('OAuth-Client-Attestation-PoP', await instance.jws({ typ: 'oauth-client-attestation-pop+jwt', alg: instance.alg }, { iss: clientId, aud, iat, jti: randomBytes(16).toString('base64url'), challenge }))
    }
  }

  preAuthorized(client, { credentialOffer, issuerMetadata, txCode }) {
    return client.retrievePreAuthorizedCodeAccessTokenFromOffer({ credentialOffer, issuerMetadata, txCode, dpop: { signer: this.dpop.signer } })
  }

  // authorized goes by pushed authorization request and PKCE; the wallet stands in for the person's browser. The library (0.4.6) sends no state.
  async authorized(client, { credentialOffer, issuerMetadata, id }) {
    const { scope } = issuerMetadata.credentialIssuer.credential_configurations_supported[id]
    const started = await client.initiateAuthorization({ clientId, credentialOffer, issuerMetadata, redirectUri, scope, dpop: { signer: this.dpop.signer } })
    const asked = new URL(started.authorizationRequestUrl)
    const page = await this.fetch(asked)
    if (!page.ok) throw new Error(`the page that asks the person: ${page.status} ${await page.text()}`)
    const decided = await this.fetch(asked.origin + asked.pathname, { method: 'POST', redirect: 'manual', headers: formType, body: new URLSearchParams([...asked.searchParams, ['decision', 'approve']]) })
    const url = decided.headers.get('Location')
    const authorizationServer = issuerMetadata.authorizationServers.find(s => s.issuer === started.authorizationServer)
    const { code, error } = client.parseAndVerifyAuthorizationResponseRedirectUrl({ url, authorizationServerMetadata: authorizationServer })
    if (error) throw new Error(`the authorization ended with ${error}`)
    return client.retrieveAuthorizationCodeAccessTokenFromOffer({ credentialOffer, issuerMetadata, authorizationCode: code, pkceCodeVerifier: started.pkce.codeVerifier, redirectUri, dpop: { signer: this.dpop.signer } })
  }

  // take verifies a credential (issuer's certificate, type metadata, status list) and keeps it.
  async take(compact, keys) {
    const verified = await this.sdJwt().verify(compact)
    const { cnf, status, vct } = verified.payload
    const key = keys.find(k => k.publicJwk.x === cnf.jwk.x)
    if (!key) throw new Error('the credential is for another key')
    this.held.push({ compact, key })
    return { compact, vct, claims: verified.payload, status, type: verified.typeMetadata?.mergedTypeMetadata.vct, typ: verified.header.typ, disclosable: await this.sdJwt().presentableKeys(compact) }
  }

  // statuses verifies all that is held once more, by the library's own reading of the status list.
  async statuses() {
    const out = []
    for (const { compact } of this.held) out.push(await this.sdJwt().verify(compact).then(() => 'valid', error => error.message))
    return out
  }

  sdJwt(key) {
    return new SDJwtVcInstance({
      hasher: hash, hashAlg: 'sha-256',
      verifier: (data, signature) => verifyX5C(`${data}.${signature}`, this.roots),
      loadTypeMetadataFormat: true, vctFetcher: (vct, integrity) => this.typeMetadata(vct, integrity),
      statusListFetcher: uri => this.statusList(uri), // the library's own gives up after ten seconds, which a loaded machine may need
      kbSigner: key && (data => key.sign(data)), kbSignAlg: key?.alg,
    })
  }

  // typeMetadata reads the metadata of a type. The library (0.19.0) compares vct#integrity as hexadecimal; Subresource Integrity is base64.
  async typeMetadata(vct, integrity) {
    if (!vct.startsWith('https://localhost')) return undefined // its host is not of this machine
    const response = await this.fetch(vct)
    const body = new Uint8Array(await response.arrayBuffer())
    if (integrity !== `sha256-${Buffer.from(hash(body)).toString('base64')}`) throw new Error(`the metadata of ${vct} is not what the credential names`)
    return JSON.parse(Buffer.from(body))
  }

  async statusList(uri) {
    const type = 'application/statuslist+jwt'
    const response = await this.fetch(uri, { headers: { Accept: type } })
    if (!response.ok || response.headers.get('Content-Type') !== type) throw new Error(`the status list: ${response.status}`)
    return response.text()
  }

  // open reads a verifier's request.
  async open(link) {
    const nonce = randomBytes(16).toString('base64url')
    const metadata = { vp_formats_supported: { 'dc+sd-jwt': { 'sd-jwt_alg_values': ['ES256'], 'kb-jwt_alg_values': ['ES256', 'EdDSA'] } } }
    const fetching = (url, init) => { // the library (0.4.6) sends the members of wallet_metadata alone, and no wallet_nonce, which it then demands
      if (init.method === 'post') init = { ...init, method: 'POST', body: `${new URLSearchParams({ wallet_metadata: JSON.stringify(metadata), wallet_nonce: nonce })}` }
      return this.fetch(url, init)
    }
    const client = new Openid4vpClient({ callbacks: callbacks({ keys: [], roots: this.roots, fetch: fetching }) })
    const { params } = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: link })
    const wallet = { metadata, expectedNonce: params.request_uri_method === 'post' ? nonce : undefined }
    const request = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: params, wallet })
    return { client: new Openid4vpClient({ callbacks: callbacks({ keys: [], roots: this.roots, fetch: this.fetch }) }), request, asked: request.authorizationRequestPayload }
  }

  // present answers a request with what it asks for. Without multiple it gives one credential for each query.
  async present({ link, enc, ...how }) {
    this.seen = []
    const { client, request, asked } = await this.open(link)
    const vpToken = await this.choose(request, asked.client_id, how)
    if (!vpToken) return this.send(client, asked, { error: 'access_denied' })
    const sent = await this.send(client, asked, { vp_token: vpToken }, enc)
    return { ...sent, prefix: request.client.prefix, queries: Object.fromEntries(Object.entries(vpToken).map(([id, list]) => [id, list.length])) }
  }

  // presentToPage answers a request of the Digital Credentials API, which names the origin of the page.
  async presentToPage({ protocol, data, origin, enc = 'A256GCM' }) {
    const client = new Openid4vpClient({ callbacks: callbacks({ keys: [], roots: this.roots, fetch: this.fetch }) })
    const request = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: data, origin })
    const asked = request.authorizationRequestPayload
    const authorizationResponsePayload = { vp_token: await this.choose(request, `origin:${origin}`, {}) }
    const { jarm, authorizationResponsePayload: clear } = await client.createOpenid4vpAuthorizationResponse({ authorizationRequestPayload: asked, authorizationResponsePayload, jarm: encryption(asked, enc), origin })
    return { protocol, data: jarm ? { response: jarm.responseJwt } : clear }
  }

  // choose makes the presentations that a query asks for, undefined where the wallet does not have them.
  async choose(request, aud, { multiple, spoil }) {
    const asked = request.authorizationRequestPayload
    const query = DcqlQuery.parse(asked.dcql_query)
    DcqlQuery.validate(query)
    const credentials = []
    for (const { compact } of this.held) {
      const claims = await this.sdJwt().getClaims(compact)
      credentials.push({ credential_format: 'dc+sd-jwt', vct: claims.vct, claims, cryptographic_holder_binding: true })
    }
    const result = DcqlQuery.query(query, credentials)
    if (!result.can_be_satisfied) return undefined
    const vpToken = {}
    for (const wanted of query.credentials) {
      const match = result.credential_matches[wanted.id]
      if (!match.success) continue
      const chosen = multiple && wanted.multiple ? match.valid_credentials : match.valid_credentials.slice(0, 1)
      vpToken[wanted.id] = []
      for (const one of chosen) {
        const set = one.claims.valid_claim_sets[0]
        const shown = frame((set.valid_claim_indexes ?? []).map(i => wanted.claims[i].path), credentials[one.input_credential_index].claims)
        const kb = { iat: Math.floor(Date.now() / 1000), aud, nonce: spoil === 'nonce' ? 'another' : asked.nonce }
        const meant = request.transactionData?.filter(t => t.transactionData.credential_ids.includes(wanted.id))
        if (meant?.length) kb.transaction_data_hashes = meant.map(t => Buffer.from(hash(t.encoded)).toString('base64url'))
        const { compact, key } = this.held[one.input_credential_index]
        vpToken[wanted.id].push(await this.sdJwt(key).present(compact, shown, { kb: { payload: kb } }))
      }
    }
    return vpToken
  }

  // show presents the newest credential of a type to somebody who gave an audience and a nonce on another way.
  async show({ vct, paths, aud, nonce }) {
    const { compact, key } = this.held.findLast(h => payload(h.compact).vct === vct)
    const kb = { iat: Math.floor(Date.now() / 1000), aud, nonce }
    return this.sdJwt(key).present(compact, frame(paths, await this.sdJwt().getClaims(compact)), { kb: { payload: kb } })
  }

  // refuse says that the holder does not want to; in the clear also where an encrypted answer was asked for, if told so.
  async refuse({ link, clear }) {
    this.seen = []
    const { client, asked } = await this.open(link)
    return this.send(client, clear ? { ...asked, response_mode: 'direct_post' } : asked, { error: 'access_denied', error_description: 'the holder says no' })
  }

  // send answers as the response mode says.
  async send(client, asked, answer, enc = 'A256GCM') {
    const response = await client.createOpenid4vpAuthorizationResponse({ authorizationRequestPayload: asked, authorizationResponsePayload: answer, jarm: encryption(asked, enc) })
    const sent = await client.submitOpenid4vpAuthorizationResponse({ ...response, authorizationRequestPayload: asked })
    return { status: sent.response.status, body: await sent.response.json(), enc: response.jarm && header(response.jarm.responseJwt).enc, seen: this.seen }
  }
}

// encryption is what the library is told of this wallet where an encrypted answer is asked for.
const encryption = (asked, enc) => asked.response_mode.endsWith('.jwt') ? {
  encryption: {},
  serverMetadata: { authorization_signing_alg_values_supported: [], authorization_encryption_alg_values_supported: ['ECDH-ES'], authorization_encryption_enc_values_supported: [enc] },
} : undefined

// frame turns claims paths into what the SD-JWT library discloses.
function frame(paths, claims) {
  const out = {}
  for (const path of paths) put(out, path, claims)
  return out
}

function put(at, [name, ...rest], value) {
  for (const n of name === null ? value.keys() : [name]) {
    if (rest.length === 0) at[n] = whole(value[n])
    else put(at[n] = typeof at[n] === 'object' ? at[n] : {}, rest, value[n])
  }
}

// whole discloses a claim with all below it.
const whole = value => value === null || typeof value !== 'object' || Object.keys(value).length === 0 ? true
  : Object.fromEntries(Object.entries(value).map(([name, v]) => [name, whole(v)]))
