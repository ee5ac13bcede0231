#!/bin/sh
# Gives the role of roles.sql the password in LOADER_PASSWORD: run by the image of PostgreSQL when its volume is new.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$LOADER_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
ALTER ROLE loader PASSWORD :'password';
SQL
