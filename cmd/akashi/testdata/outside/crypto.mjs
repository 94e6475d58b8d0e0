// What the outside libraries leave to whoever uses them: keys, signatures, encryption and certificates, by jose and Node.js.
import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import * as jose from 'jose'

const decode = part => JSON.parse(Buffer.from(part, 'base64url'))
export const header = jwt => decode(jwt.split('.')[0])
export const payload = jwt => decode(jwt.split('.')[1])
export const hash = (data, alg = 'sha-256') => new Uint8Array(createHash(alg.replace('-', '')).update(data).digest())

// Key is a private key with its public JWK.
export class Key {
  static async generate(alg = 'ES256') {
    const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true, crv: alg === 'EdDSA' ? 'Ed25519' : undefined })
    return new Key(alg, privateKey, await jose.exportJWK(publicKey))
  }
  static async import(jwk) {
    const { d, ...jwkPublic } = jwk
    return new Key('ES256', await jose.importJWK(jwk, 'ES256'), jwkPublic)
  }
  constructor(alg, privateKey, publicJwk) {
    Object.assign(this, { alg, privateKey, publicJwk })
  }
  get signer() { return { method: 'jwk', alg: this.alg, publicJwk: this.publicJwk } }
  // By did:jwk the key is named and not put into the header.
  get didSigner() {
    return { method: 'did', alg: this.alg, didUrl: `did:jwk:${Buffer.from(JSON.stringify(this.publicJwk)).toString('base64url')}#0` }
  }
  async jws(header, payload) {
    return new jose.CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader(header).sign(this.privateKey)
  }
  // signature over "header.payload", as the SD-JWT library wants it.
  async sign(data) {
    const { subtle } = globalThis.crypto
    const algorithm = this.alg === 'ES256' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: 'Ed25519' }
    return Buffer.from(await subtle.sign(algorithm, this.privateKey, Buffer.from(data))).toString('base64url')
  }
}

// leafKey checks a chain up to one of the roots, which is not in it (HAIP 1.0, Section 6.1.1), and returns the leaf's key.
export function leafKey(x5c, roots) {
  const chain = x5c.map(der => new X509Certificate(Buffer.from(der, 'base64')))
  const anchors = roots.map(pem => new X509Certificate(pem))
  for (const [i, c] of chain.entries()) {
    const above = i + 1 < chain.length ? [chain[i + 1]] : anchors
    if (!above.some(a => c.checkIssued(a) && c.verify(a.publicKey))) throw new Error(`certificate ${i} is not of a trusted authority`)
    if (new Date(c.validTo) < new Date() || new Date(c.validFrom) > new Date()) throw new Error(`certificate ${i} is not valid now`)
    if (c.checkIssued(c)) throw new Error(`certificate ${i} is self-signed`)
  }
  return chain[0].publicKey
}

// verifyX5C checks a compact JWS by the certificate in its header.
export async function verifyX5C(jwt, roots) {
  const { x5c } = header(jwt)
  if (!x5c) throw new Error('no x5c in the header')
  await jose.compactVerify(jwt, leafKey(x5c, roots), { algorithms: ['ES256'] })
  return true
}

async function publicKeyOf(signer, roots) {
  switch (signer.method) {
    case 'x5c': return leafKey(signer.x5c, roots)
    case 'jwk': return jose.importJWK(signer.publicJwk, signer.alg)
    case 'did': {
      const jwk = decode(signer.didUrl.split('#')[0].replace('did:jwk:', ''))
      return jose.importJWK(jwk, signer.alg)
    }
  }
  throw new Error(`a signature by ${signer.method} cannot be checked here`)
}

// callbacks are those that the @openid4vc libraries ask for.
export function callbacks({ keys, roots, fetch, clientAuthentication, decryptionKey }) {
  const thumbprint = jwk => jose.calculateJwkThumbprint(jwk)
  const find = async jwk => {
    for (const key of keys) if (await thumbprint(key.publicJwk) === await thumbprint(jwk)) return key
    throw new Error('a signature with a key that is not there')
  }
  return {
    fetch,
    clientAuthentication,
    hash,
    generateRandom: n => new Uint8Array(randomBytes(n)),
    async signJwt(signer, { header, payload }) {
      const jwk = signer.publicJwk ?? decode(signer.didUrl.split('#')[0].replace('did:jwk:', ''))
      const key = await find(jwk)
      return { jwt: await key.jws(header, payload), signerJwk: key.publicJwk }
    },
    async verifyJwt(signer, { compact, header }) {
      try {
        const key = await publicKeyOf(signer, roots)
        await jose.compactVerify(compact, key, { algorithms: [header.alg] })
        return { verified: true, signerJwk: signer.publicJwk ?? await jose.exportJWK(key) }
      } catch {
        return { verified: false }
      }
    },
    async encryptJwe({ publicJwk, alg, enc, apu, apv }, data) {
      const bytes = text => text && new Uint8Array(Buffer.from(text, 'base64url'))
      const jwe = await new jose.CompactEncrypt(Buffer.from(data))
        .setProtectedHeader({ alg, enc, kid: publicJwk.kid })
        .setKeyManagementParameters({ apu: bytes(apu), apv: bytes(apv) })
        .encrypt(await jose.importJWK(publicJwk, alg))
      return { encryptionJwk: publicJwk, jwe }
    },
    async decryptJwe(jwe) {
      const { plaintext } = await jose.compactDecrypt(jwe, decryptionKey.privateKey)
      return { decrypted: true, decryptionJwk: decryptionKey.publicJwk, payload: Buffer.from(plaintext).toString() }
    },
    getX509CertificateMetadata(der) {
      const names = new X509Certificate(Buffer.from(der, 'base64')).subjectAltName?.split(', ') ?? []
      const of = kind => names.filter(n => n.startsWith(kind)).map(n => n.slice(kind.length))
      return { sanDnsNames: of('DNS:'), sanUriNames: of('URI:') }
    },
  }
}
