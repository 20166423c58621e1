-- The audit log is append-only: what is young can't be changed or deleted by any statement, whoever writes it.

CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION audit_keeps_what_is_young() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number > (SELECT number FROM audit_floor WHERE lasting = OLD.lasting) THEN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

-- The floor only rises, and stays below the newest row.
CREATE FUNCTION audit_floor_rises() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.lasting <> OLD.lasting OR NEW.number < OLD.number OR NEW.number >= (SELECT max(number) FROM audit) THEN
        RAISE EXCEPTION 'the floor of the audit log only rises' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_never_changes BEFORE UPDATE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses();
CREATE TRIGGER audit_keeps_what_is_young BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_keeps_what_is_young();
CREATE TRIGGER audit_floor_rises BEFORE UPDATE ON audit_floor
    FOR EACH ROW EXECUTE FUNCTION audit_floor_rises();
CREATE TRIGGER audit_floor_stays BEFORE INSERT OR DELETE OR TRUNCATE ON audit_floor
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses();

-- Let the oldest rows of one kind go: those of before `_before`, and those numbered up to `_surplus`; how many.
CREATE FUNCTION purge_audit_1(_lasting boolean, _before bigint, _rows bigint, _most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    _newest bigint;
    _gone bigint[];
BEGIN
    PERFORM number FROM audit_floor WHERE lasting = _lasting FOR UPDATE;
    SELECT coalesce(max(number), 0) INTO _newest FROM audit;
    IF _lasting THEN  -- said in words, so that the small index serves
        SELECT array_agg(number) INTO _gone FROM (
            SELECT number, at FROM audit WHERE lasting AND number < _newest ORDER BY number LIMIT _most
        ) AS oldest WHERE at < _before;
    ELSE
        SELECT array_agg(number) INTO _gone FROM (
            SELECT number, at FROM audit WHERE NOT lasting AND number < _newest ORDER BY number LIMIT _most
        ) AS oldest WHERE at < _before OR number <= _newest - _rows;
    END IF;
    IF _gone IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE audit_floor SET number = greatest(number, (SELECT max(one) FROM unnest(_gone) AS one))
        WHERE lasting = _lasting;
    DELETE FROM audit WHERE number = ANY (_gone);
    RETURN cardinality(_gone);
END $$;
