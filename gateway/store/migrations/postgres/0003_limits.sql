-- Limits, counted in the transaction of what they limit; see gateway/store/postgres_limits.py.
--
-- Functions carry a number: while old and new code run on one schema, whoever needs another signature makes the next.
-- They write asynchronously unless something says otherwise: `at_ease` is for this transaction alone, so that no
-- pooler hands the setting on.

CREATE FUNCTION at_ease() RETURNS text LANGUAGE sql AS $$
    SELECT set_config('synchronous_commit', 'off', true)
$$;

-- When what is there by now can have been made at the latest, the clocks of our machines being a minute apart at most
-- (gateway.clock.AHEAD): what is later is from before a clock was put back.
CREATE FUNCTION latest(_now bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT _now + 60000
$$;

-- Count one use against each limit; more than `_bounds` milliseconds may not be waiting to be forgotten. Raises
-- KG001, which the caller catches, so that all of what was done is undone.
CREATE FUNCTION charge_1(_keys bytea[], _costs bigint[], _bounds bigint[], _now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    _over boolean;
BEGIN
    WITH used AS (
        INSERT INTO usage AS u (key, due, at) SELECT k, _now + c, _now FROM unnest(_keys, _costs) AS x (k, c)
        ON CONFLICT (key) DO UPDATE SET at = _now,
            due = greatest(CASE WHEN u.at <= latest(_now) THEN u.due END, _now) + excluded.due - _now,
            until = CASE WHEN u.at <= latest(_now) THEN u.until ELSE 0 END
        RETURNING u.until > _now OR u.due - _now > _bounds[array_position(_keys, u.key)] AS over
    )
    SELECT bool_or(used.over) INTO _over FROM used;
    IF _over THEN
        RAISE EXCEPTION USING ERRCODE = 'KG001';
    END IF;
END $$;

-- Block what is over its limit, twice as long as the last time; what is blocked already stays so. `place` is that of
-- the limit that blocks longest, from 1; 0: none does.
CREATE FUNCTION strike_1(
    _keys bytea[], _costs bigint[], _windows bigint[], _ceilings bytea[], _first bigint, _longest bigint, _calm bigint, _now bigint,
    OUT place bigint, OUT ends bigint, OUT times bigint
) LANGUAGE plpgsql AS $$
DECLARE
    _state record;
    _wait bigint;
BEGIN
    PERFORM at_ease();
    place := 0;
    ends := _now;
    times := 0;
    PERFORM 1 FROM usage WHERE key = ANY (_keys) ORDER BY array_position(_keys, key) FOR UPDATE;
    FOR number IN 1 .. cardinality(_keys) LOOP
        SELECT coalesce(max(u.due), 0) AS due, coalesce(max(u.until), 0) AS until, coalesce(max(u.strikes), 0) AS strikes
            INTO _state FROM usage AS u WHERE u.key = _keys[number] AND u.at <= latest(_now);
        _wait := greatest(_state.due, _now) + _costs[number] - _now - _windows[number];
        CONTINUE WHEN _state.until <= _now AND _wait <= 0;
        IF _keys[number] = ANY (_ceilings) THEN  -- a new day ends it, no block
            _state.until := _now + _wait;
        ELSIF _state.until <= _now THEN
            _state.strikes := CASE WHEN _state.until + _calm < _now THEN 1 ELSE _state.strikes + 1 END;
            _state.until := _now + greatest(
                _wait, least(_first << least(_state.strikes - 1, 20)::int, _longest)
            );
            UPDATE usage AS u SET due = _state.due, until = _state.until, strikes = _state.strikes, at = _now
                WHERE u.key = _keys[number];
        END IF;
        IF _state.until > ends THEN
            place := number;
            ends := _state.until;
            times := _state.strikes;
        END IF;
    END LOOP;
END $$;
