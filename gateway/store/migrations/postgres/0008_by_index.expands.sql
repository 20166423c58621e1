-- The rest of what 0007 says of a young table: one that was analyzed at ten rows is read from end to end for as long as
-- the plans of then stay. Every function that reads a table which grows looks it up by index in any case. (Connections
-- without a pooler in between are set so as a whole; behind one a function is all that keeps a plan.)
DO $$
DECLARE
    _name text;
BEGIN
    FOREACH _name IN ARRAY ARRAY[
        'session_1', 'open_session_1', 'queue_1', 'try_code_1', 'pick_1', 'deny_1', 'collect_1', 'spend_1',
        'activate_1', 'reactivate_1', 'deactivate_1', 'finish_1', 'report_1', 'add_manual_1', 'claim_1',
        'claim_callbacks_1', 'strike_1', 'purge_1', 'purge_audit_1'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %I SET enable_seqscan = off', _name);
        EXECUTE format('ALTER FUNCTION %I SET jit = off', _name);
    END LOOP;
END $$;
