-- What readers may see. Run it as the owner once the loader has made its tables, and after each new migration:
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f reader.sql
-- Two tables by name: not sink_offset, in which only the loader has business.
GRANT SELECT ON events, purchase_marketing_attributions TO reader;
