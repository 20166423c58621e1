-- The verbs of a login, each one statement for its caller: one round trip, one transaction, and a new snapshot for
-- each step in it.
--
-- Locks are taken in one order: the destination (advisory), its session row, then what is counted, messages, and
-- last of all the lock of events.

-- The era after a crash; numbers that were given before, and forgotten, are not given again. Nobody has come further
-- than this by then, and it is on the disk before anybody is answered, lest a second crash forget the numbers' leap.
CREATE FUNCTION begin_anew() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _era bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1802462057, 0);
    SELECT era INTO _era FROM incarnation;
    IF FOUND THEN
        RETURN _era;
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    -- Far more than are given in a second.
    PERFORM setval(number, nextval(number) + 100000)
        FROM unnest(ARRAY[pg_get_serial_sequence('message', 'id'), pg_get_serial_sequence('event', 'number')]) AS number;
    INSERT INTO incarnation VALUES (pg_current_xact_id()::text::bigint) RETURNING era INTO _era;
    RETURN _era;
END $$;

CREATE FUNCTION this_era() RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce((SELECT era FROM incarnation), begin_anew())
$$;

ALTER TABLE session ALTER era SET DEFAULT this_era();  -- for what `kodgate copy` brings over

-- Nobody else creates, sends or activates for this destination until the commit.
CREATE FUNCTION hold_destination(_project_id bigint, _destination bytea) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(encode(_destination, 'hex'), _project_id))
$$;

CREATE FUNCTION wake() RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('kodgate', '')
$$;

CREATE FUNCTION announce(_session_ids text[], _now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(_session_ids) > 0 THEN
        IF NOT EXISTS (SELECT FROM incarnation) THEN
            PERFORM begin_anew();
        END IF;
        PERFORM pg_advisory_xact_lock(1802462055, 0);
        INSERT INTO event (session_id, at) SELECT id, _now FROM unnest(_session_ids) AS id;
        PERFORM wake();
    END IF;
END $$;

CREATE FUNCTION note(
    _at bigint, _actor text, _action text, _project_id bigint, _session_id text, _destination bytea, _reason text,
    _detail text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (at, lasting, actor, action, project_id, session_id, destination, reason, detail, times)
    VALUES (_at, _actor IN ('operator', 'system'), _actor, _action, _project_id, _session_id, _destination, _reason,
        _detail, 1);
END $$;

-- A session as JSON, with all its sends, oldest first (`gateway.store.SessionRow`).
CREATE FUNCTION session_1(_id text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT json_build_object(
        'id', s.id,
        'project_id', s.project_id,
        'destination', translate(encode(s.destination, 'base64'), E'\n', ''),
        'sealed', translate(encode(s.sealed, 'base64'), E'\n', ''),
        'kind', s.kind,
        'lang', s.lang,
        'browser', s.browser,
        'code_length', s.code_length,
        'state', s.state,
        'attempts_left', s.attempts_left,
        'created_at', s.created_at,
        'expires_at', s.expires_at,
        'browser_mac', translate(encode(s.browser_mac, 'base64'), E'\n', ''),
        'place', s.place,
        'joined', s.joined,
        'chat_id', a.chat_id,
        'active', coalesce(a.active, false),
        'last_channel', (SELECT channel FROM habit AS h WHERE h.project_id = s.project_id
            AND h.destination = s.destination ORDER BY last_used_at DESC LIMIT 1),
        'sends', coalesce((SELECT json_agg(json_build_object(
                'channel', channel, 'state', state, 'began_parked', began_parked, 'created_at', created_at,
                'instead_of', instead_of, 'tap', tap
            ) ORDER BY m.id) FROM message AS m WHERE m.session_id = s.id), '[]')
    )::text
    FROM session AS s LEFT JOIN activation AS a ON a.project_id = s.project_id AND a.destination = s.destination
    WHERE s.id = _id AND s.era = (SELECT era FROM incarnation));
END $$;

CREATE FUNCTION favourite(_project_id bigint, _destination bytea, _most_used boolean) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT channel FROM habit WHERE project_id = _project_id AND destination = _destination
        ORDER BY CASE WHEN _most_used THEN uses END DESC NULLS LAST, last_used_at DESC LIMIT 1);
END $$;

CREATE FUNCTION note_habit(_project_id bigint, _destination bytea, _channel text, _now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO habit AS h VALUES (_project_id, _destination, _channel, 1, _now)
    ON CONFLICT (project_id, destination, channel)
        DO UPDATE SET uses = h.uses + 1, last_used_at = excluded.last_used_at;
END $$;

CREATE FUNCTION is_linked(_project_id bigint, _destination bytea, _bot_id bigint, _chat_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM activation WHERE project_id = _project_id AND destination = _destination
        AND bot_id = _bot_id AND chat_id = _chat_id AND active);
END $$;

-- Queue a session's code, or park it; otherwise as `gateway.store.Queued` says.
CREATE FUNCTION queue_message_1(
    _id text, _channel text, _now bigint, _cooldown bigint, _active boolean, _parks boolean,
    _mac bytea, _sealed bytea, _length bigint, _discreet boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    _newest record;
    _state text;
BEGIN
    SELECT state, created_at, began_parked INTO _newest FROM message
        WHERE session_id = _id AND channel = _channel ORDER BY id DESC LIMIT 1;
    IF FOUND AND _newest.state = 'parked' THEN
        IF _newest.created_at + _cooldown > _now THEN
            RETURN 'unchanged';
        END IF;
        UPDATE message SET created_at = _now WHERE session_id = _id AND state = 'parked';
        RETURN 'parked';
    END IF;
    IF FOUND AND (_newest.state <> 'failed' OR _discreet) AND _newest.created_at + _cooldown > _now THEN
        RETURN CASE WHEN _newest.began_parked THEN 'unchanged' ELSE 'cooling' END;
    END IF;
    IF _mac IS NOT NULL THEN
        UPDATE session SET code_mac = _mac, own_code = _sealed, code_length = _length WHERE id = _id;
    END IF;
    _state := CASE WHEN _channel = 'telegram' AND NOT _active AND _parks THEN 'parked' ELSE 'queued' END;
    INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)
        VALUES (_id, _channel, _state, _state = 'parked', _now, 0);
    IF _state = 'queued' THEN
        PERFORM wake();
    END IF;
    RETURN _state;
END $$;

-- `outcome`: 'paused' until then; 'over' a limit; 'fresh': inserted as it was given; 'old': `shown` lives already.
CREATE FUNCTION open_session_1(
    _id text, _project_id bigint, _destination bytea, _sealed bytea, _code_mac bytea, _code_length bigint,
    _kind text, _lang text, _browser text, _attempts bigint, _now bigint, _expires_at bigint, _browser_mac bytea,
    _place text, _actor text, _prefix text,
    _orders boolean, _allowed text[], _wanted text, _default text, _cooldown bigint, _most_used boolean,
    _hold boolean, _parks boolean, _discreet boolean,
    _ceiling_channels text[], _ceiling_keys bytea[], _ceiling_costs bigint[], _ceiling_bounds bigint[],
    _keys bytea[], _costs bigint[], _bounds bigint[],
    _guess_key bytea, _guess_cost bigint, _guess_window bigint, _known boolean,
    OUT outcome text, OUT ends bigint, OUT chat bigint, OUT active boolean, OUT last_channel text,
    OUT sent_to text, OUT sent text, OUT shown text
) LANGUAGE plpgsql AS $$
DECLARE
    _old record;
    _live record;
    _current text;
    _counts boolean := true;
    _place_of int;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true),
        pg_advisory_xact_lock(hashtextextended(encode(_destination, 'hex'), _project_id));
    SELECT s.id, s.state, s.expires_at, s.created_at, s.paused_until, s.browser_mac, s.joined, a.chat_id, a.active,
        (SELECT h.channel FROM habit AS h WHERE h.project_id = _project_id AND h.destination = _destination
            ORDER BY h.last_used_at DESC LIMIT 1) AS last_channel,
        (SELECT greatest(u.until, u.due + _guess_cost - _guess_window) FROM usage AS u
            WHERE u.key = _guess_key AND u.at <= latest(_now))
            AS guesses_at,
        s.era, (SELECT i.era FROM incarnation AS i) AS this_era
        INTO _old
        FROM (SELECT) AS one
        LEFT JOIN session AS s ON s.project_id = _project_id AND s.destination = _destination
        LEFT JOIN activation AS a ON a.project_id = _project_id AND a.destination = _destination;
    ends := CASE WHEN _old.guesses_at > _now THEN _old.guesses_at
        WHEN _old.paused_until > _now AND NOT _known AND _old.created_at <= latest(_now) THEN _old.paused_until END;
    IF ends IS NOT NULL THEN
        outcome := 'paused';
        RETURN;
    END IF;
    chat := _old.chat_id;
    active := coalesce(_old.active, false);
    last_channel := _old.last_channel;
    outcome := 'fresh';
    _current := _id;
    IF _old.state = 'live' AND _old.expires_at > _now AND _old.created_at <= latest(_now) AND _old.era = _old.this_era
    THEN
        -- Once more, and held: nobody uses it up until it is decided whether somebody joins.
        SELECT s.id, s.browser_mac, s.joined, s.paused_until INTO _live FROM session AS s
            WHERE s.id = _old.id AND s.state = 'live' FOR UPDATE;
        IF FOUND THEN
            outcome := 'old';
            _counts := false;
            _current := _live.id;
        END IF;
    END IF;
    BEGIN
        IF outcome = 'fresh' THEN
            INSERT INTO session (project_id, destination, id, sealed, code_mac, code_length, kind, lang, browser,
                state, attempts_left, strikes, paused_until, created_at, expires_at, browser_mac, place, joined, prefix,
                era)
            VALUES (_project_id, _destination, _id, _sealed, _code_mac, _code_length, _kind, _lang, _browser,
                'live', _attempts, 0, 0, _now, _expires_at, _browser_mac, _place, false, _prefix,
                coalesce(_old.this_era, begin_anew()))
            ON CONFLICT (project_id, destination) DO UPDATE SET id = excluded.id, sealed = excluded.sealed,
                code_mac = excluded.code_mac, code_length = excluded.code_length, own_code = NULL,
                lang = excluded.lang, browser = excluded.browser, state = 'live',
                attempts_left = excluded.attempts_left, created_at = excluded.created_at,
                expires_at = excluded.expires_at, browser_mac = excluded.browser_mac, place = excluded.place,
                joined = false, prefix = excluded.prefix, era = excluded.era,
                paused_until = CASE WHEN session.created_at > latest(_now) THEN 0 ELSE session.paused_until END;
        END IF;
        IF _orders THEN
            sent_to := _wanted;
            IF sent_to IS NULL AND outcome = 'old' THEN
                SELECT newest.channel INTO sent_to FROM (
                    SELECT DISTINCT ON (m.channel) m.channel, m.state, m.created_at,
                        min(m.id) OVER (PARTITION BY m.channel) AS began
                    FROM message AS m WHERE m.session_id = _current ORDER BY m.channel, m.id DESC
                ) AS newest
                WHERE (newest.state <> 'failed' OR _discreet) AND newest.channel = ANY (_allowed)
                ORDER BY newest.created_at DESC, newest.began LIMIT 1;
            END IF;
            IF sent_to IS NULL AND NOT _discreet THEN
                sent_to := CASE WHEN _most_used THEN favourite(_project_id, _destination, true)
                    ELSE last_channel END;
                IF NOT sent_to = ANY (_allowed) THEN
                    sent_to := NULL;
                END IF;
            END IF;
            sent_to := coalesce(sent_to, _default);
            IF NOT _hold THEN
                sent := queue_message_1(_current, sent_to, _now, _cooldown, active, _parks, NULL, NULL, NULL, _discreet);
                _counts := _counts OR sent IN ('queued', 'parked');
                -- What the bot sends costs nothing.
                IF sent IN ('queued', 'parked') AND NOT (sent_to = 'telegram' AND active) THEN
                    _place_of := array_position(_ceiling_channels, sent_to);
                    IF _place_of IS NOT NULL THEN
                        _keys := _keys || _ceiling_keys[_place_of];
                        _costs := _costs || _ceiling_costs[_place_of];
                        _bounds := _bounds || _ceiling_bounds[_place_of];
                    END IF;
                END IF;
            END IF;
        END IF;
        IF _counts AND _keys IS NOT NULL THEN
            PERFORM charge_1(_keys, _costs, _bounds, _now);
        END IF;
        IF outcome = 'old' THEN
            IF _live.browser_mac <> '' AND _live.browser_mac <> _browser_mac AND NOT _live.joined THEN
                UPDATE session SET joined = true WHERE id = _current;
                PERFORM note(_now, _actor, 'session.join', _project_id, _current, NULL, '', '');
                PERFORM announce(ARRAY[_current], _now);  -- its browser's number is worth nothing from now on
            END IF;
        END IF;
    EXCEPTION WHEN SQLSTATE 'KG001' THEN
        outcome := 'over';
        RETURN;
    END;
    IF outcome = 'old' THEN
        shown := session_1(_current);
    END IF;
END $$;

-- `outcome`: NULL where no such session lives, 'over' a limit, else as `queue_message_1` says.
CREATE FUNCTION queue_1(
    _project_id bigint, _id text, _channel text, _now bigint, _cooldown bigint, _mac bytea, _sealed bytea,
    _length bigint, _parks boolean, _actor text, _keys bytea[], _costs bigint[], _bounds bigint[],
    OUT outcome text, OUT shown text
) LANGUAGE plpgsql AS $$
DECLARE
    _destination bytea;
    _active boolean;
BEGIN
    SELECT destination INTO _destination FROM session WHERE id = _id AND project_id = _project_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM at_ease(), hold_destination(_project_id, _destination);
    PERFORM 1 FROM session WHERE id = _id AND state = 'live' AND expires_at > _now AND created_at <= latest(_now)
        AND era = (SELECT i.era FROM incarnation AS i) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(bool_or(active), false) INTO _active FROM activation
        WHERE project_id = _project_id AND destination = _destination;
    BEGIN
        outcome := queue_message_1(_id, _channel, _now, _cooldown, _active, _parks, _mac, _sealed, _length, false);
        IF outcome IN ('queued', 'parked') THEN
            IF _keys IS NOT NULL THEN
                PERFORM charge_1(_keys, _costs, _bounds, _now);
            END IF;
            PERFORM note(_now, _actor, 'session.send', _project_id, _id, NULL, '', _channel || ': ' || outcome);
        END IF;
    EXCEPTION WHEN SQLSTATE 'KG001' THEN
        outcome := 'over';
        RETURN;
    END;
    shown := session_1(_id);
END $$;

-- `outcome`: NULL where there is nothing to try, 'paused' until then, 'over' a limit, 'right' or 'wrong'.
--
-- A project's codes are compared one after the other: of many guesses at once, no more are compared than its limits
-- let through. (They have one row in common anyhow, the project's own limit.)
CREATE FUNCTION try_code_1(
    _project_id bigint, _id text, _macs bytea[], _now bigint, _first bigint, _longest bigint,
    _known boolean, _actor text, _keys bytea[], _costs bigint[], _bounds bigint[],
    _guess_tag bytea, _guess_costs bigint[], _guess_window bigint,
    _known_tag bytea, _address bytea, _known_for bigint, _grain bigint,
    OUT outcome text, OUT remaining bigint, OUT contact bytea, OUT carrier text, OUT ends bigint,
    OUT whom bytea, OUT digits bigint, OUT era bigint
) LANGUAGE plpgsql AS $$
DECLARE
    _state text;
    _open boolean;
    _over boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(1802462056, (_project_id % 2147483647)::int);
    SELECT s.paused_until, s.destination, s.code_length, s.era, s.paused_until <= _now OR _known
        INTO ends, whom, digits, era, _open
        FROM session AS s WHERE s.id = _id AND s.project_id = _project_id AND s.state = 'live'
            AND s.expires_at > _now AND s.created_at <= latest(_now) AND s.era = (SELECT i.era FROM incarnation AS i);
    IF _open IS NOT TRUE THEN
        outcome := CASE WHEN whom IS NOT NULL THEN 'paused' END;
        whom := NULL;
        IF _keys IS NOT NULL THEN
            BEGIN
                PERFORM charge_1(_keys, _costs, _bounds, _now);
            EXCEPTION WHEN SQLSTATE 'KG001' THEN
                outcome := 'over';
            END;
        END IF;
        RETURN;
    END IF;
    IF _keys IS NOT NULL THEN
        IF _guess_tag IS NOT NULL THEN
            _keys := (_guess_tag || whom) || _keys;
            _costs := _guess_costs[least(digits + 1, cardinality(_guess_costs))] || _costs;
            _bounds := _guess_window || _bounds;
        END IF;
        -- Whether right or wrong, lest the time that it takes tells which.
        SELECT bool_or(u.until > _now OR greatest(u.due, _now) + _costs[array_position(_keys, u.key)] - _now
                > _bounds[array_position(_keys, u.key)])
            INTO _over FROM usage AS u WHERE u.key = ANY (_keys) AND u.at <= latest(_now);
        IF _over THEN
            outcome := 'over';
            RETURN;
        END IF;
    END IF;
    UPDATE session SET
        attempts_left = attempts_left - CASE WHEN code_mac = ANY (_macs) THEN 0 ELSE 1 END,
        state = CASE WHEN code_mac = ANY (_macs) THEN 'used' WHEN attempts_left = 1 THEN 'closed' ELSE 'live' END,
        strikes = CASE WHEN code_mac = ANY (_macs) THEN 0 WHEN attempts_left = 1 THEN strikes + 1
            ELSE strikes END,
        paused_until = CASE WHEN code_mac = ANY (_macs) THEN 0
            WHEN attempts_left = 1 THEN _now + least(_first << least(strikes, 20)::int, _longest)
            ELSE paused_until END
    WHERE id = _id AND project_id = _project_id AND state = 'live'
    RETURNING state, attempts_left, sealed INTO _state, remaining, contact;
    IF NOT FOUND THEN  -- one tap was faster
        RETURN;
    END IF;
    IF _state <> 'used' THEN
        outcome := 'wrong';
        IF _keys IS NOT NULL THEN
            PERFORM charge_1(_keys, _costs, _bounds, _now);
        END IF;
        PERFORM note(_now, _actor, 'session.check', _project_id, _id, NULL, 'WrongCode', remaining || ' left');
        IF _state <> 'live' THEN
            PERFORM announce(ARRAY[_id], _now);
        END IF;
        RETURN;
    END IF;
    outcome := 'right';
    PERFORM pg_advisory_xact_lock(1802462055, 0);
    WITH sent AS (
        SELECT m.channel FROM message AS m WHERE m.session_id = _id AND m.state NOT IN ('parked', 'failed')
        ORDER BY m.id DESC LIMIT 1
    ), habits AS (
        INSERT INTO habit AS h SELECT _project_id, whom, sent.channel, 1, _now FROM sent
        ON CONFLICT (project_id, destination, channel)
            DO UPDATE SET uses = h.uses + 1, last_used_at = excluded.last_used_at
    ), known AS (
        INSERT INTO usage AS u (key, due) SELECT _known_tag || whom || _address, _now + _known_for
        WHERE _address <> ''
        ON CONFLICT (key) DO UPDATE SET due = excluded.due WHERE u.due < excluded.due - _grain
    ), noted AS (
        INSERT INTO audit (at, lasting, actor, action, project_id, session_id, reason, detail, times)
        VALUES (_now, _actor IN ('operator', 'system'), _actor, 'session.check', _project_id, _id, '',
            coalesce((SELECT channel FROM sent), ''), 1)
    ), told AS (
        INSERT INTO event (session_id, at) VALUES (_id, _now)
    )
    SELECT (SELECT channel FROM sent) INTO carrier FROM pg_notify('kodgate', '');
END $$;

-- One tap. 'approved' or 'closed' where this press decides, else 'again', 'joined' or NULL.
CREATE FUNCTION pick_1(
    _bot_id bigint, _chat_id bigint, _id text, _right boolean, _now bigint, _first bigint, _longest bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    _picked record;
    _stands record;
BEGIN
    PERFORM at_ease();
    -- An approved session's code is forgotten: nothing opens it any more but its browser.
    UPDATE session AS s SET
        state = CASE WHEN _right THEN 'approved' ELSE 'closed' END,
        code_mac = CASE WHEN _right THEN '' ELSE code_mac END,
        strikes = CASE WHEN _right THEN 0 ELSE strikes + 1 END,
        paused_until = CASE WHEN _right THEN 0 ELSE _now + least(_first << least(strikes, 20)::int, _longest) END
    WHERE s.id = _id AND s.expires_at > _now AND s.created_at <= latest(_now) AND s.era = this_era() AND s.state = 'live'
        AND s.browser_mac <> '' AND NOT s.joined AND is_linked(s.project_id, s.destination, _bot_id, _chat_id)
    RETURNING s.state, s.project_id, s.destination INTO _picked;
    IF FOUND THEN
        IF _right THEN
            PERFORM note_habit(_picked.project_id, _picked.destination, 'telegram', _now);
        END IF;
        PERFORM note(_now, 'telegram', 'tap.pick', _picked.project_id, _id, NULL,
            CASE WHEN _right THEN '' ELSE 'WrongNumber' END, '');
        PERFORM announce(ARRAY[_id], _now);
        RETURN _picked.state;
    END IF;
    SELECT s.state, s.code_mac = '' AS approved INTO _stands FROM session AS s
        WHERE s.id = _id AND s.expires_at > _now AND s.created_at <= latest(_now) AND s.era = this_era()
            AND s.browser_mac <> ''
            AND is_linked(s.project_id, s.destination, _bot_id, _chat_id);
    IF _stands.state = 'live' THEN
        RETURN 'joined';
    END IF;
    RETURN CASE WHEN _right AND _stands.approved AND _stands.state IN ('approved', 'used') THEN 'again' END;
END $$;

-- "It wasn't me": close the session, as a wrong pick does; whether it was open to this chat.
CREATE FUNCTION deny_1(
    _bot_id bigint, _chat_id bigint, _id text, _now bigint, _first bigint, _longest bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _project_id bigint;
BEGIN
    PERFORM at_ease();
    UPDATE session AS s SET state = 'closed', strikes = strikes + 1,
        paused_until = _now + least(_first << least(strikes, 20)::int, _longest)
    WHERE s.id = _id AND s.expires_at > _now AND s.created_at <= latest(_now) AND s.era = this_era() AND s.state = 'live'
        AND is_linked(s.project_id, s.destination, _bot_id, _chat_id)
    RETURNING s.project_id INTO _project_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note(_now, 'telegram', 'tap.deny', _project_id, _id, NULL, '', '');
    PERFORM announce(ARRAY[_id], _now);
    RETURN true;
END $$;

-- Use an approved session up for its browser; its sealed contact, and its era.
CREATE FUNCTION collect_1(
    _project_id bigint, _id text, _browser_mac bytea, _now bigint, _actor text, OUT contact bytea, OUT era bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM at_ease();
    UPDATE session AS s SET state = 'used'
        WHERE s.id = _id AND s.project_id = _project_id AND s.state = 'approved' AND s.browser_mac = _browser_mac
            AND s.browser_mac <> '' AND s.expires_at > _now AND s.created_at <= latest(_now) AND s.era = this_era()
        RETURNING s.sealed, s.era INTO contact, era;
    IF FOUND THEN
        PERFORM note(_now, _actor, 'session.collect', _project_id, _id, NULL, '', '');
        PERFORM announce(ARRAY[_id], _now);
    END IF;
END $$;

-- Spend a token of this era; whoever comes first is told so, and noted where `_action` is given.
CREATE FUNCTION spend_1(
    _id text, _era bigint, _at bigint, _actor text, _action text, _project_id bigint, _session_id text, _destination bytea,
    _reason text, _detail text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM at_ease();
    INSERT INTO spent SELECT _id FROM incarnation WHERE era = _era ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF _action IS NOT NULL THEN
        PERFORM note(_at, _actor, _action, _project_id, _session_id, _destination, _reason, _detail);
    END IF;
    RETURN true;
END $$;
