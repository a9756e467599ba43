// Uploads one file by tus-js-client, through a connection that breaks.
//
//   node tus.mjs PROTOCOL careful|at-once HUB TOKEN BLOB THREAD FILE
//
// Between client and hub stands a relay that cuts every connection after so many bytes, so that
// the client must ask how far it got and go on there. Succeeds when the hub has it all.
import { createReadStream, statSync } from 'node:fs'
import net from 'node:net'
import { Upload } from 'tus-js-client'

const [protocol, way, hub, token, blob, thread, file] = process.argv.slice(2)
const CUT_BYTES = 700_000
const size = statSync(file).size
let cuts = 0

const relay = net.createServer((near) => {
  const far = net.connect(Number(new URL(hub).port), '127.0.0.1')
  let bytes = 0
  near.on('data', (chunk) => {
    bytes += chunk.length
    if (bytes > CUT_BYTES) {
      cuts += 1
      near.destroy()
      // The hub gets what was on its way.
      far.end()
    } else {
      far.write(chunk)
    }
  })
  far.on('data', (chunk) => near.writable && near.write(chunk))
  for (const [one, other] of [[near, far], [far, near]]) {
    one.on('end', () => other.end())
    one.on('error', () => other.destroy())
  }
})
await new Promise((listening) => relay.listen(0, '127.0.0.1', listening))

const offsets = []
const upload = new Upload(createReadStream(file), {
  protocol,
  endpoint: `http://127.0.0.1:${relay.address().port}/v1/blobs`,
  uploadSize: size,
  // A file stream isn't read twice: the client keeps at most one chunk to send again.
  chunkSize: 1_000_000,
  uploadDataDuringCreation: way === 'at-once',
  storeFingerprintForResuming: false,
  retryDelays: Array(20).fill(10),
  headers: {
    Authorization: `Bearer ${token}`,
    'Kolonne-Blob': blob,
    'Kolonne-Thread': thread,
  },
  onShouldRetry: () => true,
  onAfterResponse: (request, response) => {
    if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')))
  },
  onError: (error) => {
    console.error(error)
    process.exit(1)
  },
  onSuccess: () => {
    console.log(`${size} bytes, ${cuts} cuts, went on at ${offsets.join(', ')}`)
    // Without cuts nothing was shown.
    process.exit(cuts > 0 && offsets.length > 0 ? 0 : 1)
  },
})
upload.start()
