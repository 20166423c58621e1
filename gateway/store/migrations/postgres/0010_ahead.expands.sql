-- What a clock that was ahead has dated: it would stay until that time is there, and keep what comes behind it.

-- Forget up to `_most` rows of each table that are dated later than `_after`, of which `_void` is the first ULID; how
-- many went. A server's own message counts until it is final and has been called back. Spent tokens stay: they tell
-- nothing of anybody, and none is to be good again.
CREATE FUNCTION purge_ahead_1(_void text, _after bigint, _most bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _gone bigint := 0;
    _rows bigint;
BEGIN
    PERFORM at_ease();
    DELETE FROM session WHERE id IN
        (SELECT id FROM session WHERE id >= _void ORDER BY id LIMIT _most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM expected WHERE (bot_id, chat_id) IN
        (SELECT bot_id, chat_id FROM expected WHERE session_id >= _void ORDER BY session_id LIMIT _most
            FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM manual WHERE id IN
        (SELECT o.id FROM manual AS o WHERE o.id >= _void
            AND NOT EXISTS (SELECT FROM message AS m
                WHERE m.id = o.message_id AND m.state IN ('parked', 'queued', 'sending'))
            AND NOT EXISTS (SELECT FROM callback AS c WHERE c.message_id = o.message_id)
            ORDER BY o.id LIMIT _most FOR UPDATE OF o SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM message WHERE id IN
        (SELECT m.id FROM message AS m WHERE m.session_id >= _void
            AND NOT EXISTS (SELECT FROM manual AS o WHERE o.id = m.session_id)
            ORDER BY m.session_id LIMIT _most FOR UPDATE OF m SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM event WHERE number IN
        (SELECT number FROM (SELECT number, at FROM event ORDER BY number LIMIT _most) AS oldest WHERE at > _after)
        AND number < (SELECT max(number) FROM event);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    RETURN _gone + _rows;
END $$;

-- As `purge_audit_1`, but what is dated later than `_ahead` goes with what was written after it.
CREATE FUNCTION purge_audit_2(_lasting boolean, _before bigint, _rows bigint, _most bigint, _ahead bigint)
RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _newest bigint;
    _floor bigint;
    _gone bigint[];
    _passed bigint[];
BEGIN
    SELECT number INTO _floor FROM audit_floor WHERE lasting = _lasting FOR UPDATE;
    SELECT coalesce(max(number), 0) INTO _newest FROM audit;
    IF _lasting THEN  -- said in words, so that the small index serves
        SELECT array_agg(number) INTO _gone FROM (
            SELECT number, at FROM audit WHERE lasting AND number < _newest AND at <= _ahead
            ORDER BY number LIMIT _most
        ) AS oldest WHERE at < _before;
    ELSE
        SELECT array_agg(number) INTO _gone FROM (
            SELECT number, at FROM audit WHERE NOT lasting AND number < _newest AND at <= _ahead
            ORDER BY number LIMIT _most
        ) AS oldest WHERE at < _before OR number <= _newest - _rows;
    END IF;
    IF _gone IS NOT NULL THEN
        _floor := greatest(_floor, (SELECT max(one) FROM unnest(_gone) AS one));
        UPDATE audit_floor SET number = _floor WHERE lasting = _lasting;
    END IF;
    IF _lasting THEN
        _passed := ARRAY(SELECT number FROM audit WHERE lasting AND number < _floor AND at > _ahead
            ORDER BY number LIMIT _most);
    ELSE
        _passed := ARRAY(SELECT number FROM audit WHERE NOT lasting AND number < _floor AND at > _ahead
            ORDER BY number LIMIT _most);
    END IF;
    DELETE FROM audit WHERE number = ANY (_gone || _passed);
    RETURN coalesce(cardinality(_gone), 0) + cardinality(_passed);
END $$;
