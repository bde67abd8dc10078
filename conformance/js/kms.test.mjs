// The AWS SDK for JavaScript does what its users do with KMS.
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, randomBytes, verify } from 'node:crypto'
import { test } from 'node:test'
import {
  CreateKeyCommand, DecryptCommand, GenerateDataKeyCommand, GetPublicKeyCommand, InvalidCiphertextException, KMSClient,
  NotFoundException, SignCommand, VerifyCommand, paginateListKeys,
} from '@aws-sdk/client-kms'

const client = new KMSClient({})

// seal encrypts under a data key of its own and keeps that key wrapped beside the text.
async function seal(keyId, text) {
  const { Plaintext, CiphertextBlob } = await client.send(new GenerateDataKeyCommand({
    KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: { app: 'shop' },
  }))
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', Plaintext, nonce)
  const sealed = Buffer.concat([cipher.update(text), cipher.final()])
  return { wrapped: CiphertextBlob, nonce, sealed, tag: cipher.getAuthTag() }
}

async function open({ wrapped, nonce, sealed, tag }, context) {
  const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob: wrapped, EncryptionContext: context }))
  const cipher = createDecipheriv('aes-256-gcm', Plaintext, nonce)
  cipher.setAuthTag(tag)
  return Buffer.concat([cipher.update(sealed), cipher.final()])
}

for (const key of [process.env.PLAIN_KEY, process.env.STORED_KEY]) {
  test(`envelope encryption under ${key}`, async () => {
    const text = randomBytes(100_000)
    const letter = await seal(key, text)
    assert.deepEqual(await open(letter, { app: 'shop' }), text)
    await assert.rejects(open(letter, { app: 'toys' }), InvalidCiphertextException)
  })
}

test('signatures that node verifies', async () => {
  const { KeyMetadata: { KeyId } } = await client.send(new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }))
  const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId }))
  const request = { KeyId, Message: randomBytes(1000), SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256' }
  const { Signature } = await client.send(new SignCommand(request))
  assert(verify('sha256', request.Message, { key: Buffer.from(PublicKey), format: 'der', type: 'spki' }, Signature))
  const { SignatureValid } = await client.send(new VerifyCommand({ ...request, Signature }))
  assert.equal(SignatureValid, true)
})

test('pages and exceptions', async () => {
  const arns = []
  for await (const { Keys } of paginateListKeys({ client }, { Limit: 1 })) arns.push(...Keys.map((k) => k.KeyArn))
  assert(arns.includes(process.env.PLAIN_KEY) && arns.includes(process.env.STORED_KEY))
  await assert.rejects(client.send(new GenerateDataKeyCommand({ KeyId: 'alias/not-there', KeySpec: 'AES_256' })), NotFoundException)
})
