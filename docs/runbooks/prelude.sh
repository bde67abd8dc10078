# Shell functions and variables of the runbooks; for bash, after `source keyward-data/env`.

RUNBOOKS=$(dirname "${BASH_SOURCE[0]}")

field() { aws kms describe-custom-key-stores --query "CustomKeyStores[0].$1" --output text; }

STORE=$(field CustomKeyStoreId)
CLUSTER=$(field CloudHsmClusterId)
ADMIN=$(cat "$KEYWARD_DATA/ExampleKeyStore/admin-password")

connection() {
  aws kms describe-custom-key-stores --custom-key-store-id "$STORE" \
    --query 'CustomKeyStores[0].[ConnectionState, ConnectionErrorCode || `-`]' --output text | tr '\t' ' '
}

settled() {
  until connection | grep -qv 'CONNECTING'; do sleep 0.2; done
  connection
}

hsms() {
  aws cloudhsmv2 describe-clusters --filters clusterIds="$CLUSTER" \
    --query 'length(Clusters[0].Hsms[?State==`ACTIVE`])' --output text
}

decrypts() {
  aws kms decrypt --ciphertext-blob fileb://cipher.bin --query Plaintext --output text | base64 -d
}

# A store that a rehearsal left unconnected is of no use to the next one.
if [ "$(connection)" != "CONNECTED -" ]; then
  echo "the store is $(connection): repair it first" >&2
  return 1
fi

if [ -z "${NO_KEY:-}" ] && [ ! -e cipher.bin ]; then
  KEY=$(aws kms create-key --origin AWS_CLOUDHSM --custom-key-store-id "$STORE" --query KeyMetadata.KeyId --output text)
  aws kms encrypt --key-id "$KEY" --plaintext fileb://<(echo attack at dawn) --query CiphertextBlob --output text |
    base64 -d > cipher.bin
  echo "$KEY" > key.txt
fi
[ -n "${NO_KEY:-}" ] || KEY=$(cat key.txt)
