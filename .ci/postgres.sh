# Sourced by the checks that need a PostgreSQL of their own.

# postgres_start FOLDER: starts the newest one there is, in a folder that is there, on a free port; `bin` has its
# programs, `url` its address up to the database's name.
postgres_start() {
    local folder=$1 port as=()
    bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
    if [ "$(id -u)" = 0 ]; then
        # PostgreSQL refuses root.
        chmod 755 "$folder"
        install -d -o postgres "$folder/postgres"
        as=(setpriv --reuid postgres --regid postgres --clear-groups)
    else
        mkdir "$folder/postgres"
    fi
    # From below the ports that the system gives to anybody who connects (as tests/support/ports.rs).
    port=$(python3 - <<'PYTHON'
import random, socket
for port in random.sample(range(12000, 32000), 100):
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
    )
    (cd / && "${as[@]}" "$bin/initdb" -U postgres -A trust -E UTF8 --locale=C --no-sync -D "$folder/postgres/data" >/dev/null)
    (cd / && exec "${as[@]}" "$bin/postgres" -D "$folder/postgres/data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=off >"$folder/postgres.log" 2>&1) &
    server=$!
    url=postgres://postgres@127.0.0.1:$port
    for _ in $(seq 100); do
        "$bin/psql" -qc 'SELECT 1' "$url/postgres" >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$folder/postgres.log"
    return 1
}

server=
postgres_stop() {
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=
}
