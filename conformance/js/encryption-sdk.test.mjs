// The AWS Encryption SDK for JavaScript, with data keys wrapped by KMS.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { CommitmentPolicy, KmsKeyringNode, buildClient } from '@aws-crypto/client-node'

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

const [plain, stored] = [process.env.PLAIN_KEY, process.env.STORED_KEY]

// seal wraps the message's data key under each of the keys: any one of them opens it.
async function seal(text, generatorKeyId, ...keyIds) {
  const keyring = new KmsKeyringNode({ generatorKeyId, keyIds })
  const { result } = await encrypt(keyring, text, { encryptionContext: { app: 'shop' } })
  return result
}

const open = (message, keyring) => decrypt(new KmsKeyringNode(keyring), message)

test('either key opens what both wrap', async () => {
  const text = randomBytes(100_000)
  const message = await seal(text, stored, plain)
  for (const key of [plain, stored]) {
    const { plaintext, messageHeader } = await open(message, { keyIds: [key] })
    assert.deepEqual(plaintext, text)
    assert.equal(messageHeader.encryptionContext.app, 'shop')
    assert.deepEqual(messageHeader.encryptedDataKeys.map((k) => k.providerInfo), [stored, plain])
  }
})

test('the message says by which key it opens', async () => {
  const { plaintext } = await open(await seal('attack at dawn', plain), { discovery: true })
  assert.equal(plaintext.toString(), 'attack at dawn')
})

test('a key that wraps nothing opens nothing', async () => {
  await assert.rejects(open(await seal('attack at dawn', plain), { keyIds: [stored] }), /unencryptedDataKey has not been set/)
})

test('a changed message does not open', async () => {
  const message = await seal('attack at dawn', plain)
  message[message.length - 1] ^= 1
  await assert.rejects(open(message, { keyIds: [plain] }), /Invalid Signature/)
})
