-- The role that Plimsoll logs in as, and what it may do: no superuser, from PostgreSQL 15 on. Run it in the database that
-- Plimsoll connects to (`postgres`): rights on functions are a database's own.
CREATE ROLE plimsoll LOGIN REPLICATION;
-- Reads statistics and settings, and ends sessions before a hand-over.
GRANT pg_monitor, pg_signal_backend TO plimsoll;
GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_promote(boolean, integer) TO plimsoll;
-- Whose confirmation commits wait for; the fence of a primary that hands over; whom a standby follows.
GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names, default_transaction_read_only, primary_conninfo TO plimsoll;

-- The example's clients.
CREATE ROLE app LOGIN;
