// Reads one JSON object a line, {"who", "do", "with"}, and writes one for each: {"done"} or {"error"}.
import { createInterface } from 'node:readline'
import { Issuer } from './issuer.mjs'
import { Verifier } from './verifier.mjs'
import { Wallet } from './wallet.mjs'

// Clock sets the time that everything here goes by, except certificates of TLS.
class Clock {
  async set({ now }) {
    const shift = new Date(now) - this.real.now()
    globalThis.Date = class extends this.real {
      constructor(...args) { args.length ? super(...args) : super(Date.now()) }
      static now() { return super.now() + shift }
    }
    return {}
  }
  real = Date
}

const actors = { clock: new Clock(), wallet: new Wallet(), issuer: new Issuer(), verifier: new Verifier() }

for await (const line of createInterface({ input: process.stdin })) {
  const { who, do: act, with: options } = JSON.parse(line)
  const answer = await actors[who][act](options).then(
    done => ({ done }),
    error => ({ error: `${error.name}: ${error.message} ${error.cause?.message ?? ''} ${error.response?.credentialErrorResponseResult ? JSON.stringify(error.response.credentialErrorResponseResult.data) : ''}` }),
  )
  process.stdout.write(JSON.stringify(answer) + '\n')
}
