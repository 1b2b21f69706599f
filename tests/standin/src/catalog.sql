-- The objects that the stand-in creates in its PostgreSQL database in addition to the tables:
-- collations, conversions and the views of SQL Server's catalog. Every statement may run repeatedly.

CREATE SCHEMA IF NOT EXISTS sys;
CREATE SCHEMA IF NOT EXISTS dbo;
COMMENT ON SCHEMA sys IS 'The catalog of SQL Server, created by the stand-in.';
GRANT USAGE ON SCHEMA sys, dbo TO PUBLIC;

CREATE COLLATION IF NOT EXISTS sys.ci_as (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION IF NOT EXISTS sys.ci_ai (provider = icu, locale = 'und-u-ks-level1', deterministic = false);

DO $$
BEGIN
    IF to_regtype('sys.datetimeoffset') IS NULL THEN
        CREATE TYPE sys.datetimeoffset AS (utc_ticks bigint, offset_minutes smallint);
    END IF;
END
$$;

CREATE SEQUENCE IF NOT EXISTS sys.rowversions START 2001;
GRANT USAGE ON SEQUENCE sys.rowversions TO PUBLIC;

CREATE OR REPLACE FUNCTION sys.next_rowversion() RETURNS bytea LANGUAGE sql VOLATILE AS
$$ SELECT int8send(nextval('sys.rowversions')) $$;

-- Conversions between timestamps and ticks of 100 ns since 0001-01-01.
CREATE OR REPLACE FUNCTION sys.ticks(moment timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (extract(epoch FROM moment) * 10000000)::bigint + 621355968000000000 $$;

CREATE OR REPLACE FUNCTION sys.rounded(ticks bigint, unit bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (ticks + unit / 2) / unit * unit $$;

CREATE OR REPLACE FUNCTION sys.timestamp_of(ticks bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT timestamp '0001-01-01' + (ticks / 864000000000)::integer * interval '1 day'
        + (ticks % 864000000000 / 10) * interval '1 microsecond' $$;

CREATE OR REPLACE FUNCTION sys.time_ticks(clock time) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (extract(epoch FROM clock) * 10000000)::bigint $$;

CREATE OR REPLACE FUNCTION sys.time_of(ticks bigint) RETURNS time LANGUAGE sql IMMUTABLE AS
$$ SELECT time '00:00' + (ticks / 10) * interval '1 microsecond' $$;

CREATE OR REPLACE FUNCTION sys.ticks_of_text(moment text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT sys.ticks(regexp_replace(moment, '\.\d+', '')::timestamp)
        + coalesce(rpad(substring(moment FROM '\.(\d{1,7})'), 7, '0')::bigint, 0) $$;

CREATE OR REPLACE FUNCTION sys.time_text(ticks bigint, scale integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT to_char(sys.time_of(ticks), 'HH24:MI:SS')
        || CASE WHEN scale = 0 THEN '' ELSE '.' || left(lpad((ticks % 10000000)::text, 7, '0'), scale) END $$;

-- The text of ticks with a scale of 0 to 7 and a separator between date and time.
CREATE OR REPLACE FUNCTION sys.ticks_text(ticks bigint, scale integer, separator text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT to_char(sys.timestamp_of(ticks), 'YYYY-MM-DD') || separator || sys.time_text(ticks % 864000000000, scale) $$;

CREATE OR REPLACE FUNCTION sys.local_ticks(moment sys.datetimeoffset) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (moment).utc_ticks + (moment).offset_minutes * 600000000::bigint $$;

CREATE OR REPLACE FUNCTION sys.offset_text(minutes smallint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN minutes < 0 THEN '-' ELSE '+' END
        || lpad((abs(minutes) / 60)::text, 2, '0') || ':' || lpad((abs(minutes) % 60)::text, 2, '0') $$;

-- A timestamp rounded to 1/300 s, the unit of datetime, and then to milliseconds.
CREATE OR REPLACE FUNCTION sys.rounded_to_datetime(moment timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT date_trunc('day', moment)
        + ((((sys.ticks(moment) % 864000000000) * 3 + 50000) / 100000 * 10 + 1) / 3) * interval '1 millisecond' $$;

CREATE OR REPLACE FUNCTION sys.padded(bytes bytea, length integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT substring(bytes || decode(repeat('00', length), 'hex') FROM 1 FOR length) $$;

-- The UTF-16LE bytes of stored text.
-- U+10E7FF is the substitute for U+0000, and U+10E800 + n for the surrogate U+D800 + n.
CREATE OR REPLACE FUNCTION sys.utf16_unit(unit integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT set_byte(set_byte('\x0000'::bytea, 0, unit & 255), 1, unit >> 8) $$;

CREATE OR REPLACE FUNCTION sys.utf16(stored text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT COALESCE(string_agg(CASE
     WHEN code = 1107967 THEN sys.utf16_unit(0)
     WHEN code BETWEEN 1107968 AND 1110015 THEN sys.utf16_unit(code - 1107968 + 55296)
     WHEN code < 65536 THEN sys.utf16_unit(code)
     ELSE sys.utf16_unit(55296 + ((code - 65536) >> 10)) || sys.utf16_unit(56320 + ((code - 65536) & 1023))
   END, ''::bytea ORDER BY place), ''::bytea)
   FROM (SELECT ascii(character) AS code, place FROM regexp_split_to_table(stored, '') WITH ORDINALITY AS split (character, place) WHERE character <> '') AS codes $$;

-- The stored form of UTF-16LE bytes.
CREATE OR REPLACE FUNCTION sys.from_utf16(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT COALESCE(string_agg(CASE
     WHEN unit BETWEEN 55296 AND 56319 AND next BETWEEN 56320 AND 57343
       THEN chr(65536 + (unit - 55296) * 1024 + next - 56320)
     WHEN unit BETWEEN 56320 AND 57343 AND last BETWEEN 55296 AND 56319 THEN ''
     WHEN unit BETWEEN 55296 AND 57343 THEN chr(1107968 + unit - 55296)
     WHEN unit = 0 THEN chr(1107967)
     ELSE chr(unit)
   END, '' ORDER BY place), '')
   FROM (SELECT place, unit, lead(unit) OVER (ORDER BY place) AS next, lag(unit) OVER (ORDER BY place) AS last
         FROM (SELECT place, get_byte(bytes, place * 2) + 256 * get_byte(bytes, place * 2 + 1) AS unit
               FROM generate_series(0, length(bytes) / 2 - 1) AS place) AS units) AS neighbours $$;

-- The declared type of a column, which is stored as the column's comment. Without a comment it is
-- derived from the type in PostgreSQL.
CREATE OR REPLACE FUNCTION sys.declared_type(relation oid, number smallint, type oid, typmod integer) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(
        col_description(relation, number),
        CASE format_type(type, NULL)
            WHEN 'boolean' THEN 'bit'
            WHEN 'integer' THEN 'int'
            WHEN 'oid' THEN 'int'
            WHEN 'double precision' THEN 'float'
            WHEN 'numeric' THEN CASE WHEN typmod < 0 THEN 'decimal(38,10)'
                ELSE format('decimal(%s,%s)', (typmod - 4) >> 16, (typmod - 4) & 2047) END
            WHEN 'character' THEN format('nchar(%s)', greatest(typmod - 4, 1))
            WHEN '"char"' THEN 'nchar(1)'
            WHEN 'character varying' THEN CASE WHEN typmod BETWEEN 5 AND 4004
                THEN format('nvarchar(%s)', typmod - 4) ELSE 'nvarchar(max)' END
            WHEN 'name' THEN 'nvarchar(128)'
            WHEN 'text' THEN 'nvarchar(max)'
            WHEN 'json' THEN 'nvarchar(max)'
            WHEN 'jsonb' THEN 'nvarchar(max)'
            WHEN 'bytea' THEN 'varbinary(max)'
            WHEN 'uuid' THEN 'uniqueidentifier'
            WHEN 'timestamp without time zone' THEN format('datetime2(%s)', CASE WHEN typmod < 0 THEN 6 ELSE typmod END)
            WHEN 'time without time zone' THEN format('time(%s)', CASE WHEN typmod < 0 THEN 6 ELSE typmod END)
            WHEN 'sys.datetimeoffset' THEN 'datetimeoffset(7)'
            WHEN 'smallint' THEN 'smallint'
            WHEN 'bigint' THEN 'bigint'
            WHEN 'real' THEN 'real'
            WHEN 'date' THEN 'date'
            ELSE 'sql_variant'
        END) $$;

-- Whether the login has a permission. The comment on the schema dbo lists those that it lacks:
-- "no UNMASK, no VIEW DEFINITION".
CREATE OR REPLACE FUNCTION sys.has_permission(permission text) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN coalesce(obj_description('dbo'::regnamespace, 'pg_namespace'), '') LIKE '%no ' || permission || '%'
            THEN 0 ELSE 1 END $$;

-- The code page of varchar with a collation.
CREATE OR REPLACE FUNCTION sys.code_page(collation_name text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT CASE
        WHEN collation_name LIKE '%\_UTF8' THEN 65001
        WHEN collation_name LIKE '%\_CP437\_%' THEN 437
        WHEN collation_name LIKE '%\_CP850\_%' THEN 850
        WHEN collation_name LIKE 'Cyrillic\_%' THEN 1251
        WHEN collation_name LIKE 'Japanese\_%' THEN 932
        WHEN collation_name LIKE 'Chinese_PRC\_%' THEN 936
        WHEN collation_name LIKE 'Korean\_%' THEN 949
        WHEN collation_name LIKE 'Chinese_Taiwan\_%' THEN 950
        ELSE 1252
    END $$;

CREATE OR REPLACE FUNCTION sys.object_id(name text) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT c.oid::integer
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL (SELECT string_to_array(translate(name, '[]"', ''), '.') AS parts) p
   WHERE c.relkind IN ('r', 'p', 'v')
     AND lower(c.relname) = lower(p.parts[array_upper(p.parts, 1)])
     AND lower(n.nspname) = lower(coalesce(p.parts[array_upper(p.parts, 1) - 1], 'dbo')) $$;

CREATE OR REPLACE VIEW sys.schemas AS
SELECT n.nspname::varchar(128) COLLATE sys.ci_as AS name, n.oid::integer AS schema_id, 1 AS principal_id
FROM pg_namespace n
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname NOT LIKE 'pg\_%';

CREATE OR REPLACE VIEW sys.objects AS
SELECT c.relname::varchar(128) COLLATE sys.ci_as AS name, c.oid::integer AS object_id,
       c.relnamespace::integer AS schema_id, 0 AS parent_object_id,
       CASE WHEN c.relkind = 'v' THEN 'V' ELSE 'U' END::character(2) AS type,
       CASE WHEN c.relkind = 'v' THEN 'VIEW' ELSE 'USER_TABLE' END::varchar(60) AS type_desc,
       n.nspname = 'sys' AS is_ms_shipped
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public')
  AND n.nspname NOT LIKE 'pg\_%';

-- A comment on a table is the name of its extended property.
CREATE OR REPLACE VIEW sys.extended_properties AS
SELECT 1::smallint AS class, 'OBJECT_OR_COLUMN'::varchar(60) AS class_desc, d.objoid::integer AS major_id,
       0 AS minor_id, d.description::varchar(128) COLLATE sys.ci_as AS name
FROM pg_description d
WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0;

-- A table with the comment "memory_optimized" is one.
CREATE OR REPLACE VIEW sys.tables AS
SELECT o.*, coalesce(obj_description(o.object_id::oid, 'pg_class'), '') = 'memory_optimized' AS is_memory_optimized
FROM sys.objects AS o WHERE o.type = 'U';
CREATE OR REPLACE VIEW sys.views AS SELECT * FROM sys.objects WHERE type = 'V';

CREATE OR REPLACE VIEW sys.types AS
SELECT t.name::varchar(128) COLLATE sys.ci_as AS name, t.system_type_id::smallint AS system_type_id,
       t.user_type_id, 4 AS schema_id, false AS is_user_defined
FROM (VALUES
    ('image', 34, 34), ('text', 35, 35), ('uniqueidentifier', 36, 36), ('date', 40, 40), ('time', 41, 41),
    ('datetime2', 42, 42), ('datetimeoffset', 43, 43), ('tinyint', 48, 48), ('smallint', 52, 52), ('int', 56, 56),
    ('smalldatetime', 58, 58), ('real', 59, 59), ('money', 60, 60), ('datetime', 61, 61), ('float', 62, 62),
    ('sql_variant', 98, 98), ('ntext', 99, 99), ('bit', 104, 104), ('decimal', 106, 106), ('numeric', 108, 108),
    ('smallmoney', 122, 122), ('bigint', 127, 127), ('hierarchyid', 240, 128), ('geometry', 240, 129),
    ('geography', 240, 130), ('varbinary', 165, 165), ('varchar', 167, 167), ('binary', 173, 173), ('char', 175, 175),
    ('timestamp', 189, 189), ('nvarchar', 231, 231), ('sysname', 231, 256), ('nchar', 239, 239), ('xml', 241, 241)
) AS t (name, system_type_id, user_type_id);

CREATE OR REPLACE VIEW sys.columns AS
SELECT d.object_id, d.name::varchar(128) COLLATE sys.ci_as AS name, d.column_id,
       t.system_type_id, t.user_type_id,
       (CASE
            WHEN d.base IN ('text', 'ntext', 'image') THEN 16
            WHEN d.length = 'max' OR d.base IN ('xml', 'geography', 'geometry') THEN -1
            WHEN d.base IN ('nvarchar', 'nchar') THEN 2 * coalesce(d.length::integer, 1)
            WHEN d.base IN ('varchar', 'char', 'varbinary', 'binary') THEN coalesce(d.length::integer, 1)
            WHEN d.base IN ('bit', 'tinyint') THEN 1
            WHEN d.base = 'smallint' THEN 2
            WHEN d.base IN ('int', 'real', 'smallmoney', 'smalldatetime') THEN 4
            WHEN d.base IN ('bigint', 'float', 'money', 'datetime', 'timestamp') THEN 8
            WHEN d.base = 'decimal' THEN CASE WHEN d.length::integer < 10 THEN 5 WHEN d.length::integer < 20 THEN 9
                WHEN d.length::integer < 29 THEN 13 ELSE 17 END
            WHEN d.base = 'date' THEN 3
            WHEN d.base IN ('time', 'datetime2', 'datetimeoffset') THEN
                CASE WHEN d.length::integer < 3 THEN 3 WHEN d.length::integer < 5 THEN 4 ELSE 5 END
                + CASE d.base WHEN 'time' THEN 0 WHEN 'datetime2' THEN 3 ELSE 5 END
            WHEN d.base = 'uniqueidentifier' THEN 16
            WHEN d.base = 'sql_variant' THEN 8016
            WHEN d.base = 'hierarchyid' THEN 892
            ELSE 0
        END)::smallint AS max_length,
       (CASE
            WHEN d.base = 'decimal' THEN d.length::integer
            WHEN d.base IN ('time', 'datetime2', 'datetimeoffset') THEN
                CASE d.base WHEN 'time' THEN 8 WHEN 'datetime2' THEN 19 ELSE 26 END
                + CASE WHEN d.length::integer = 0 THEN 0 ELSE d.length::integer + 1 END
            ELSE CASE d.base WHEN 'bit' THEN 1 WHEN 'tinyint' THEN 3 WHEN 'smallint' THEN 5 WHEN 'int' THEN 10
                WHEN 'bigint' THEN 19 WHEN 'money' THEN 19 WHEN 'smallmoney' THEN 10 WHEN 'real' THEN 24
                WHEN 'float' THEN 53 WHEN 'date' THEN 10 WHEN 'datetime' THEN 23 WHEN 'smalldatetime' THEN 16
                ELSE 0 END
        END)::smallint AS precision,
       (CASE
            WHEN d.base = 'decimal' THEN d.scale::integer
            WHEN d.base IN ('time', 'datetime2', 'datetimeoffset') THEN d.length::integer
            WHEN d.base IN ('money', 'smallmoney') THEN 4
            WHEN d.base = 'datetime' THEN 3
            ELSE 0
        END)::smallint AS scale,
       (CASE WHEN d.base IN ('char', 'varchar', 'nchar', 'nvarchar', 'text', 'ntext')
            THEN coalesce(d.declared_collation, 'SQL_Latin1_General_CP1_CI_AS') END)::varchar(128) AS collation_name,
       d.is_nullable, d.is_identity, d.is_computed, 0::smallint AS generated_always_type, d.default_object_id,
       d.is_masked
FROM (
    SELECT a.attrelid::integer AS object_id, a.attname AS name, a.attnum::integer AS column_id,
           CASE split_part(split_part(y.declared, ' ', 1), '(', 1)
               WHEN 'rowversion' THEN 'timestamp' ELSE split_part(split_part(y.declared, ' ', 1), '(', 1) END AS base,
           substring(split_part(y.declared, ' ', 1) FROM '\((max|\d+)') AS length,
           substring(split_part(y.declared, ' ', 1) FROM ',(\d+)') AS scale,
           substring(y.declared FROM ' COLLATE (\S+)') AS declared_collation,
           y.declared LIKE '% MASKED' AS is_masked,
           NOT a.attnotnull AS is_nullable, a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_computed,
           CASE WHEN a.atthasdef AND a.attgenerated = '' THEN (SELECT f.oid::integer FROM pg_attrdef f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) ELSE 0 END AS default_object_id
    FROM pg_attribute a
    JOIN sys.objects o ON o.object_id = a.attrelid::integer,
    LATERAL (SELECT sys.declared_type(a.attrelid, a.attnum, a.atttypid, a.atttypmod) AS declared) y
    WHERE a.attnum > 0 AND NOT a.attisdropped
) d
LEFT JOIN sys.types t ON t.name = d.base::varchar(128);

CREATE OR REPLACE VIEW sys.indexes AS
SELECT i.indrelid::integer AS object_id, c.relname::varchar(128) COLLATE sys.ci_as AS name,
       (CASE WHEN i.indisprimary THEN 1
             ELSE 1 + row_number() OVER (PARTITION BY i.indrelid, i.indisprimary ORDER BY i.indexrelid) END)::integer AS index_id,
       CASE WHEN i.indisprimary THEN 1 ELSE 2 END::smallint AS type,
       CASE WHEN i.indisprimary THEN 'CLUSTERED' ELSE 'NONCLUSTERED' END::varchar(60) AS type_desc,
       i.indisunique AS is_unique, i.indisprimary AS is_primary_key, false AS is_unique_constraint,
       false AS is_disabled, i.indpred IS NOT NULL AS has_filter, i.indexrelid::integer AS index_oid
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN sys.objects o ON o.object_id = i.indrelid::integer;

CREATE OR REPLACE VIEW sys.index_columns AS
SELECT i.object_id, i.index_id, k.position::integer AS index_column_id, k.attnum::integer AS column_id,
       (CASE WHEN k.position > x.indnkeyatts THEN 0 ELSE k.position END)::smallint AS key_ordinal,
       k.position > x.indnkeyatts AS is_included_column,
       (x.indoption[k.position::integer - 1] & 1) = 1 AS is_descending_key
FROM sys.indexes i
JOIN pg_index x ON x.indexrelid = i.index_oid::oid,
LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
WHERE k.attnum > 0;

CREATE OR REPLACE VIEW sys.partitions AS
SELECT o.object_id::bigint AS partition_id, o.object_id,
       CASE WHEN EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = o.object_id::oid AND i.indisprimary)
            THEN 1 ELSE 0 END AS index_id,
       1 AS partition_number,
       greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) AS rows
FROM sys.objects o JOIN pg_class c ON c.oid = o.object_id::oid
WHERE c.relkind IN ('r', 'p');

CREATE OR REPLACE VIEW sys.databases AS
SELECT coalesce(current_setting('standin.database', true), current_database())::varchar(128) COLLATE sys.ci_as AS name,
       5 AS database_id,
       coalesce(nullif(current_setting('standin.snapshot', true), ''), '1')::smallint AS snapshot_isolation_state,
       false AS is_read_committed_snapshot_on, false AS is_read_only,
       150::smallint AS compatibility_level,
       'SQL_Latin1_General_CP1_CI_AS'::varchar(128) AS collation_name,
       0::smallint AS state, 'ONLINE'::varchar(60) AS state_desc,
       (SELECT md5(c.system_identifier || '/' || d.oid)::uuid FROM pg_control_system() c, pg_database d
        WHERE d.datname = current_database()) AS service_broker_guid,
       (SELECT timestamp '2020-01-01' + d.oid::bigint * interval '1 second' FROM pg_database d
        WHERE d.datname = current_database()) AS create_date,
       NULL::uuid AS group_database_id;

CREATE OR REPLACE VIEW sys.dm_exec_sessions AS
SELECT (a.pid % 32767)::smallint AS session_id, a.backend_start::timestamp AS login_time,
       a.application_name::varchar(128) AS program_name, a.usename::varchar(128) AS login_name,
       CASE WHEN a.state = 'active' THEN 'running' ELSE 'sleeping' END::varchar(30) AS status, true AS is_user_process
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.backend_type = 'client backend';

CREATE OR REPLACE VIEW sys.dm_exec_requests AS
SELECT (a.pid % 32767)::smallint AS session_id, a.query_start::timestamp AS start_time,
       CASE WHEN a.wait_event_type = 'Lock' THEN 'suspended' ELSE 'running' END::varchar(30) AS status,
       upper(split_part(ltrim(a.query), ' ', 1))::varchar(32) AS command,
       -- SET CONTEXT_INFO sets the application's name.
       sys.padded(convert_to(a.application_name, 'UTF8'), 128) AS context_info
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.state = 'active';

GRANT SELECT ON ALL TABLES IN SCHEMA sys TO PUBLIC;

-- Types without an equivalent in PostgreSQL are declared in comments, as for tables.
COMMENT ON COLUMN sys.columns.system_type_id IS 'tinyint';
COMMENT ON COLUMN sys.columns.precision IS 'tinyint';
COMMENT ON COLUMN sys.columns.scale IS 'tinyint';
COMMENT ON COLUMN sys.types.system_type_id IS 'tinyint';
COMMENT ON COLUMN sys.databases.snapshot_isolation_state IS 'tinyint';
COMMENT ON COLUMN sys.databases.compatibility_level IS 'tinyint';
COMMENT ON COLUMN sys.databases.state IS 'tinyint';
COMMENT ON COLUMN sys.databases.create_date IS 'datetime';

-- A policy of PostgreSQL stands for a security policy with one FILTER predicate. It does not filter
-- the superuser that the stand-in connects as.
CREATE OR REPLACE VIEW sys.security_policies AS
SELECT p.polname::varchar(128) COLLATE sys.ci_as AS name, p.oid::integer AS object_id,
       c.relnamespace::integer AS schema_id, c.relrowsecurity AS is_enabled
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid;

CREATE OR REPLACE VIEW sys.security_predicates AS
SELECT p.oid::integer AS object_id, 1 AS security_predicate_id, p.polrelid::integer AS target_object_id,
       0 AS predicate_type, 'FILTER'::varchar(60) AS predicate_type_desc
FROM pg_policy p;

CREATE OR REPLACE VIEW sys.foreign_keys AS
SELECT k.conname::varchar(128) COLLATE sys.ci_as AS name, k.oid::integer AS object_id,
       k.conrelid::integer AS parent_object_id, k.confrelid::integer AS referenced_object_id,
       false AS is_disabled, NOT k.convalidated AS is_not_trusted,
       (CASE k.confdeltype WHEN 'c' THEN 1 WHEN 'n' THEN 2 WHEN 'd' THEN 3 ELSE 0 END)::smallint AS delete_referential_action,
       (CASE k.confupdtype WHEN 'c' THEN 1 WHEN 'n' THEN 2 WHEN 'd' THEN 3 ELSE 0 END)::smallint AS update_referential_action
FROM pg_constraint k
JOIN sys.objects o ON o.object_id = k.conrelid::integer
WHERE k.contype = 'f';

CREATE OR REPLACE VIEW sys.foreign_key_columns AS
SELECT k.oid::integer AS constraint_object_id, u.position::integer AS constraint_column_id,
       k.conrelid::integer AS parent_object_id, u.child::integer AS parent_column_id,
       k.confrelid::integer AS referenced_object_id, u.own::integer AS referenced_column_id
FROM pg_constraint k
JOIN sys.objects o ON o.object_id = k.conrelid::integer
CROSS JOIN LATERAL ROWS FROM (unnest(k.conkey), unnest(k.confkey)) WITH ORDINALITY AS u (child, own, position)
WHERE k.contype = 'f';

-- PostgreSQL's tables have no INSTEAD OF triggers; a comment declares one.
CREATE OR REPLACE VIEW sys.triggers AS
SELECT t.tgname::varchar(128) COLLATE sys.ci_as AS name, t.oid::integer AS object_id,
       t.tgrelid::integer AS parent_id, t.tgenabled = 'D' AS is_disabled,
       coalesce(obj_description(t.oid, 'pg_trigger') = 'INSTEAD OF', false) AS is_instead_of_trigger
FROM pg_trigger t
JOIN sys.objects o ON o.object_id = t.tgrelid::integer
WHERE NOT t.tgisinternal;
