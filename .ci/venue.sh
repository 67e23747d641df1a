# Sourced by the checks that need a running venue: builds it, starts it on free ports with a data
# folder of its own, and ends it with the script. VENUE names a program that is there already.
if [ -n "${VENUE:-}" ]; then
    cargo build --release --locked --quiet -p loadtest
else
    cargo build --release --locked --quiet --workspace
fi
venue=${VENUE:-target/release/trading-engine}
loadtest=target/release/loadtest
data=$(mktemp -d)
log=$data/venue.log
pid=
cleanup() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$data"
}
trap cleanup EXIT

# start MAKER_BOT [FOLDER]: waits until the venue says ready, and learns its ports.
start() {
    : >"$log"
    local folder=$data/${2:-d}
    PORT=0 METRICS_PORT=0 FIX_PORT=0 BINARY_PORT=0 DATA_DIR="$folder" LOG_LEVEL=warn \
        MAKER_BOT="$1" "$venue" >"$log" 2>&1 &
    pid=$!
    for _ in $(seq 400); do
        if grep -q '^ready$' "$log"; then break; fi
        kill -0 "$pid" || { cat "$log"; exit 1; }
        sleep 0.05
    done
    http=$(awk '/^HTTP / {print $2}' "$log")
    metrics=$(awk '/^metrics / {print $2}' "$log")
    binary=$(awk '/^binary / {print $2}' "$log")
    fix=$(awk '/^FIX / {print $2}' "$log")
    credentials=$folder/demo/credentials.toml
}
