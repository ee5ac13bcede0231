#!/bin/bash
# Writes the credentials of the pod's role to a file that the application reads with every token it makes, and, for a pod
# with a database, an IAM token to a password file. Files appear whole: they are renamed into place.
set -uo pipefail
umask 077
directory=${CREDENTIALS_DIRECTORY:-/run/aws}
trap 'exit 0' TERM INT

write_credentials() {
    local exported name value id='' secret='' session=''
    exported=$(aws configure export-credentials --format env-no-export) || return
    while IFS='=' read -r name value; do
        case $name in
            AWS_ACCESS_KEY_ID) id=$value ;;
            AWS_SECRET_ACCESS_KEY) secret=$value ;;
            AWS_SESSION_TOKEN) session=$value ;;
        esac
    done <<<"$exported"
    [[ -n $id && -n $secret && -n $session ]] || return
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n' \
        "$id" "$secret" "$session" >"$directory/credentials.new" || return
    mv "$directory/credentials.new" "$directory/credentials"
}

# host:port:database:user:password, in which a password's : and \ are written with a \ before them.
write_password() {
    local token
    # shellcheck disable=SC2153 # all four come with the host
    token=$(aws rds generate-db-auth-token --region "$DATABASE_REGION" --hostname "$DATABASE_HOST" \
        --port "$DATABASE_PORT" --username "$DATABASE_USER") || return
    token=${token//\\/\\\\}
    token=${token//:/\\:}
    printf '%s:%s:*:%s:%s\n' "$DATABASE_HOST" "$DATABASE_PORT" "$DATABASE_USER" "$token" \
        >"$directory/pgpass.new" || return
    mv "$directory/pgpass.new" "$directory/pgpass"
}

write_all() {
    write_credentials || return
    if [[ -n ${DATABASE_HOST:-} ]]; then
        write_password || return
    fi
    # Last: whoever waits for this one has the others.
    : >"$directory/written"
}

while true; do
    # A token of RDS lives 15 minutes, and so does one of MSK; the CLI renews the role's credentials well before their end.
    pause=300
    if ! write_all; then
        echo 'the credentials could not be written; trying again in 10 s' >&2
        pause=10
    fi
    # In the background, so that a signal is heard at once.
    sleep "$pause" &
    wait $!
done
