"""One flush, on the server's side: everything that was appended since the last one, in one call.

The call takes the lock, tests what its writes assume, gives the numbers and writes; it commits as it ends.
The server holds the lock only while it has all that it needs: a client that is stopped, or cut off, in the
middle has either said everything or nothing, and keeps nobody waiting.

The numbers are gapless and in the order of the commits.  A sequence of PostgreSQL is neither: a number that
was drawn and rolled back is a gap, and who draws first may commit last, so that a reader who has seen 8 may
find 7 later.  Here one row counts, and it is changed under a lock that is held until the commit.  The lock is
taken first and not last, so that no other is ever waited for under it (no deadlock), and every statement after
it sees all that was committed before (each has a snapshot of its own).
"""

from __future__ import annotations

__all__ = ["AMEND", "CHANNEL", "FLUSH", "FLUSH_PARAMETERS", "LOCK", "LOCK_CLASS"]

LOCK_CLASS = 0x434F4E43  # "CONC": the first half of our advisory locks; the second is the schema's name
LOCK = f"select pg_advisory_xact_lock({LOCK_CLASS}, hashtext(current_schema()))"
CHANNEL = "concerted_"  # and the schema's name: where commits are told

# Change records: each statement gets all values, where its own begin, and the number before the first row.
AMEND = """
create or replace function amend(statements text[], vals text[], offsets int[], base bigint) returns void
language plpgsql as $$
begin
    for place in 1 .. coalesce(cardinality(statements), 0) loop
        execute statements[place] using vals, offsets[place], base;
    end loop;
end $$
"""

_PARAMETERS = (
    # what is assumed: the epochs of runs, the lengths of streams, until when something is held at most
    ("seen_runs", "text[]"),
    ("seen_epochs", "bigint[]"),
    ("seen_streams", "text[]"),
    ("seen_lengths", "bigint[]"),
    ("seen_key_streams", "text[]"),
    ("seen_keys", "text[]"),
    ("seen_untils", "float8[]"),
    # what is held no longer, and from now on
    ("drop_streams", "text[]"),
    ("drop_keys", "text[]"),
    ("hold_streams", "text[]"),
    ("hold_keys", "text[]"),
    ("hold_untils", "float8[]"),
    # the rows: by how many each stream grows; of each row, which of these it is in and its number therein
    ("grown_streams", "text[]"),
    ("grown_counts", "bigint[]"),
    ("row_streams", "text[]"),
    ("row_places", "int[]"),
    ("row_numbers", "bigint[]"),
    ("row_ats", "float8[]"),
    ("row_kinds", "text[]"),
    ("row_agents", "text[]"),
    ("row_refs", "text[]"),
    ("row_data", "text[]"),
    ("row_hashes", "text[]"),
    ("row_lamports", "bigint[]"),
    ("blob_hashes", "text[]"),
    ("blob_data", "text[]"),
    # the records
    ("statements", "text[]"),
    ("vals", "text[]"),
    ("offsets", "int[]"),
    # which runs were born at which node, and what to tell with the newest number
    ("born_runs", "text[]"),
    ("born_at", "text"),
    ("told", "text"),
)
FLUSH_PARAMETERS = tuple(name for name, _ in _PARAMETERS)

# base: the number before the first row.  wrong: which assumptions do not hold, and what is the case; then
# nothing was written.
FLUSH = f"""
create or replace function flush(
    {", ".join(f"{name} {kind}" for name, kind in _PARAMETERS)}, out base bigint, out wrong jsonb)
language plpgsql as $$
declare
    lengths bigint[];
    total constant bigint := cardinality(row_streams);
begin
    if total > 0 or cardinality(hold_keys) > 0 or cardinality(drop_keys) > 0 then
        perform pg_advisory_xact_lock({LOCK_CLASS}, hashtext(current_schema()));
    end if;
    if cardinality(hold_keys) > 0 or cardinality(drop_keys) > 0 then
        -- Renewing takes no lock but these, in this order.
        perform 1 from renewals join (
            select * from unnest(hold_streams || drop_streams, hold_keys || drop_keys) as either(stream, key)
            ) as named using (stream, key)
            order by renewals.stream, renewals.key for update of renewals;
    end if;
    select jsonb_agg(every.fact) into wrong from (
        select jsonb_build_array('epoch', seen.run, '', coalesce(runs.epoch, 0)) as fact
            from unnest(seen_runs, seen_epochs) as seen(run, epoch) left join runs on runs.id = seen.run
            where coalesce(runs.epoch, 0) <> seen.epoch
        union all
        select jsonb_build_array('length', seen.stream, '', coalesce(heads.length, 0))
            from unnest(seen_streams, seen_lengths) as seen(stream, length) left join heads using (stream)
            where coalesce(heads.length, 0) <> seen.length
        union all
        select jsonb_build_array('until', seen.stream, seen.key, renewals.until)
            from unnest(seen_key_streams, seen_keys, seen_untils) as seen(stream, key, until)
            join renewals using (stream, key) where renewals.until > seen.until
        ) as every;
    if wrong is not null then
        return;
    end if;
    if cardinality(drop_keys) > 0 then
        delete from renewals using unnest(drop_streams, drop_keys) as gone(stream, key)
            where renewals.stream = gone.stream and renewals.key = gone.key;
    end if;
    if cardinality(hold_keys) > 0 then
        insert into renewals(stream, key, until) select * from unnest(hold_streams, hold_keys, hold_untils)
            on conflict (stream, key) do update set until = excluded.until;
    end if;
    if total = 0 then
        select counter.seq into base from counter;
        return;
    end if;
    update counter set seq = counter.seq + total returning counter.seq - total into base;
    insert into heads(stream, length) select * from unnest(grown_streams, grown_counts)
        on conflict (stream) do update set length = heads.length + excluded.length;
    select array_agg(heads.length - grown.count order by grown.place) into lengths
        from unnest(grown_streams, grown_counts) with ordinality as grown(stream, count, place)
        join heads using (stream);
    if cardinality(blob_hashes) > 0 then
        insert into blobs(hash, data)
            select decode(blob.hash, 'hex'), convert_to(blob.data, 'UTF8')
            from unnest(blob_hashes, blob_data) as blob(hash, data) on conflict do nothing;
    end if;
    insert into log(seq, stream, stream_seq, at, kind, agent, ref, data, hash, lamport)
        select base + one.place, one.stream, lengths[one.grown] + one.number, one.at, one.kind, one.agent, one.ref,
            convert_to(one.data, 'UTF8'), decode(one.hash, 'hex'), coalesce(nullif(one.lamport, 0), base + one.place)
        from unnest(row_streams, row_places, row_numbers, row_ats, row_kinds, row_agents, row_refs, row_data,
                row_hashes, row_lamports) with ordinality
            as one(stream, grown, number, at, kind, agent, ref, data, hash, lamport, place);
    perform amend(statements, vals, offsets, base);
    if born_at is not null and cardinality(born_runs) > 0 then
        insert into births(run, node) select unnest(born_runs), born_at
            on conflict (run) do update set node = excluded.node;
    end if;
    perform pg_notify('{CHANNEL}' || current_schema(), (base + total)::text || told);
end $$
"""
