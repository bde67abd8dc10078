refused() { # refused TEXT COMMAND…: the command fails and says TEXT
  local want=$1 out
  shift
  if out=$("$@" 2>&1); then echo "not refused: $*: $out" >&2; exit 1; fi
  case $out in *"$want"*) ;; *) echo "$*: $out, instead of $want" >&2; exit 1 ;; esac
}
eventually() { # eventually COMMAND…: within ten seconds
  local i
  for i in $(seq 50); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  "$@"
}
encrypt() { aws kms encrypt --key-id $KEY --plaintext fileb://plain.txt --query KeyId --output text; }
store() {
  aws kms describe-custom-key-stores --custom-key-store-id $STORE --query "CustomKeyStores[0].$1" --output text
}
store_state() { store ConnectionState; }
reaches() { until [ "$(store_state)" = $1 ]; do sleep 0.2; done; }
disconnect() { aws kms disconnect-custom-key-store --custom-key-store-id $STORE && reaches DISCONNECTED; }
connect() { aws kms connect-custom-key-store --custom-key-store-id $STORE && reaches CONNECTED; }
connect_fails() {
  aws kms connect-custom-key-store --custom-key-store-id $STORE
  reaches FAILED
  test "$(store ConnectionErrorCode)" = $1
}
