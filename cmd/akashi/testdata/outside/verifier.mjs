// An outside verifier: OpenID4VP by @openid4vc, DCQL by dcql, SD-JWT with key binding by @sd-jwt.
import { randomBytes } from 'node:crypto'
import { Openid4vpVerifier } from '@openid4vc/openid4vp'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { DcqlPresentationResult, DcqlQuery } from 'dcql'
import * as jose from 'jose'
import { callbacks, hash, header, Key, payload } from './crypto.mjs'
import { serve } from './server.mjs'

const random = () => randomBytes(32).toString('base64url')

export class Verifier {
  // start takes the key and certificate that sign the requests.
  async start({ tls, x5c, key }) {
    this.key = await Key.import(key)
    this.signer = { method: 'x5c', alg: 'ES256', x5c }
    this.url = await serve(tls, {
      'GET /request': () => this.request(),
      'POST /request': r => this.request(new URLSearchParams(r.body).get('wallet_nonce')),
      'POST /response': r => this.response(Object.fromEntries(new URLSearchParams(r.body))),
    })
    return { url: this.url }
  }

  // ask begins a request for the credentials of a query; transaction is an element of transaction_data.
  async ask({ prefix, mode = 'direct_post.jwt', enc = ['A128GCM', 'A256GCM'], query, post, transaction }) {
    this.encryption = await Key.generate('ECDH-ES')
    this.context = callbacks({ keys: [this.key], roots: [], decryptionKey: this.encryption })
    this.context.signJwt = async (signer, { header, payload }) => ({ jwt: await this.key.jws(header, payload), signerJwk: this.key.publicJwk })
    this.verifier = new Openid4vpVerifier({ callbacks: this.context })
    const leaf = Buffer.from(this.signer.x5c[0], 'base64')
    this.asked = {
      response_type: 'vp_token', response_mode: mode, response_uri: `${this.url}/response`, nonce: random(), state: random(), dcql_query: query,
      client_id: prefix === 'x509_hash' ? `x509_hash:${Buffer.from(hash(leaf)).toString('base64url')}` : 'x509_san_dns:localhost',
      client_metadata: {
        jwks: { keys: [{ ...this.encryption.publicJwk, kid: 'encryption-1', use: 'enc', alg: 'ECDH-ES' }] },
        encrypted_response_enc_values_supported: enc,
        vp_formats_supported: { 'dc+sd-jwt': { 'sd-jwt_alg_values': ['ES256'], 'kb-jwt_alg_values': ['ES256'] } },
      },
      transaction_data: transaction && [Buffer.from(JSON.stringify(transaction)).toString('base64url')],
    }
    this.outcome = new Promise(resolve => { this.resolve = resolve })
    const { authorizationRequest } = await this.sign()
    return { link: authorizationRequest + (post ? '&request_uri_method=post' : '') }
  }

  sign(walletNonce) {
    return this.verifier.createOpenId4vpAuthorizationRequest({
      authorizationRequestPayload: { ...this.asked, wallet_nonce: walletNonce ?? undefined }, wallet: { expectedNonce: walletNonce ?? undefined },
      jar: { requestUri: `${this.url}/request`, jwtSigner: this.signer, expiresInSeconds: 300, additionalJwtPayload: { aud: 'https://self-issued.me/v2' } },
    })
  }

  async request(walletNonce) {
    const { jar } = await this.sign(walletNonce)
    return { type: 'application/oauth-authz-req+jwt', body: jar.authorizationRequestJwt }
  }

  async response(form) {
    const outcome = await this.judge(form).catch(error => ({ error: `${error.message}` }))
    this.resolve(outcome)
    return outcome.error && !outcome.refused ? { status: 400, body: { error: 'invalid_request' } } : { body: {} }
  }

  async judge(form) {
    const opened = form.response ? JSON.parse((await this.context.decryptJwe(form.response)).payload) : form
    if (opened.error) return { error: opened.error, refused: true } // the library (0.4.6) reads no refusals
    const { dcql } = await this.verifier.parseOpenid4vpAuthorizationResponse({
      authorizationResponse: form, authorizationRequestPayload: this.asked, callbacks: this.context,
    })
    const shown = {}
    const presented = {}
    for (const [id, list] of Object.entries(dcql.presentations)) {
      shown[id] = []
      for (const compact of list) shown[id].push(await this.verify(compact))
      presented[id] = shown[id].map(claims => ({ credential_format: 'dc+sd-jwt', vct: claims.vct, claims, cryptographic_holder_binding: true }))
    }
    const query = DcqlQuery.parse(this.asked.dcql_query)
    const result = DcqlPresentationResult.fromDcqlPresentation(presented, { dcqlQuery: query })
    return { shown, satisfied: result.can_be_satisfied, enc: form.response && header(form.response).enc }
  }

  // verify checks issuer and holder of a presentation: the issuer by the keys that it publishes.
  async verify(compact) {
    const { iss } = payload(compact)
    const { jwks } = await (await fetch(`${iss}/.well-known/jwt-vc-issuer`)).json()
    const check = key => async (data, signature) => Boolean(await jose.compactVerify(`${data}.${signature}`, await key(), { algorithms: ['ES256'] }))
    const sdJwt = new SDJwtVcInstance({
      hasher: hash, verifier: check(() => jose.importJWK(jwks.keys[0], 'ES256')),
      kbVerifier: (data, signature, { cnf }) => check(() => jose.importJWK(cnf.jwk, 'ES256'))(data, signature),
    })
    const verified = await sdJwt.verify(compact, { keyBindingNonce: this.asked.nonce })
    const confirmed = verified.kb.payload
    if (confirmed.aud !== this.asked.client_id) throw new Error('made for another audience')
    for (const element of this.asked.transaction_data ?? []) {
      if (!confirmed.transaction_data_hashes?.includes(Buffer.from(hash(element)).toString('base64url'))) throw new Error('the transaction is not confirmed')
    }
    return verified.payload
  }

  // ended waits for the answer to the request.
  ended() { return this.outcome }
}
