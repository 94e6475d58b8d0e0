// An https server on this machine for the outside issuer and verifier.
import { createServer } from 'node:https'

// serve starts a server and returns its address. Each route is named by method and path; it gets the request with its body as text, and returns what
// is answered: {status, type, headers, body}, an object being JSON.
export async function serve(tls, routes) {
  const server = createServer(tls, async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    const path = req.url.split('?')[0]
    const url = `https://${req.headers.host}${path}`
    const answer = await answering(routes[`${req.method} ${path}`], { method: req.method, url, headers: new Headers(req.headers), body })
    const json = typeof answer.body === 'object'
    res.writeHead(answer.status ?? 200, { 'Content-Type': answer.type ?? 'application/json', 'Cache-Control': 'no-store', ...answer.headers })
    res.end(json ? JSON.stringify(answer.body) : answer.body)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return `https://localhost:${server.address().port}`
}

async function answering(route, request) {
  if (!route) return { status: 404, body: {} }
  try {
    return await route(request)
  } catch (error) { // the libraries say what to answer
    const { wwwAuthenticateHeaders: challenge, errorResponse } = error
    if (challenge) return { status: 401, body: {}, headers: { 'WWW-Authenticate': error.toHeaderValue() } }
    return { status: 400, body: errorResponse ?? { error: 'invalid_request', error_description: error.message } }
  }
}
