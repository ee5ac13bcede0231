-- Roles of the database, least privilege. Run it once as the owner of the database, before the loader starts:
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f roles.sql
-- Running it again changes nothing.

-- The loader applies its migrations and owns what they make; it can neither make roles nor other databases, and sees no
-- other schema's tables.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'loader') THEN
        CREATE ROLE loader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
    END IF;
    -- People and dashboards: they read what the loader wrote, and not where it stands.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN
        CREATE ROLE reader NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
    END IF;
    -- On RDS the loader logs in with an IAM token; its user has no password at all. Elsewhere give it one:
    --   ALTER ROLE loader PASSWORD '…'
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO loader;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO loader, reader', current_database());
END
$$;

-- PostgreSQL 15 and later give CREATE to the owner only; a database that was upgraded from an older one gives it to all.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO loader;
GRANT USAGE ON SCHEMA public TO reader;

-- Two loaders with twelve threads each, and room for a rolling update.
ALTER ROLE loader CONNECTION LIMIT 50;
