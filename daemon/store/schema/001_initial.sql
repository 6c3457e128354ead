-- The events are the truth; jobs holds what they add up to, saved in the same transaction.
-- Times are milliseconds since 1970 UTC, 0 = not yet. States are the numbers of job.proto.

CREATE TABLE jobs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused
    request_id    TEXT NOT NULL UNIQUE,                -- the client's; sent twice, it is one job
    digest        TEXT NOT NULL,                       -- SHA-256 of what was submitted under it
    name          TEXT NOT NULL,
    owner         TEXT NOT NULL,
    state         INTEGER NOT NULL,
    over          INTEGER NOT NULL,                    -- 1 in the states that end a job
    reason        TEXT NOT NULL,
    text          TEXT NOT NULL,
    priority      INTEGER NOT NULL,
    ranks         INTEGER NOT NULL,
    threads       INTEGER NOT NULL,
    gpus_per_rank INTEGER NOT NULL,
    cores         INTEGER NOT NULL,
    gpus          INTEGER NOT NULL,
    memory_bytes  INTEGER NOT NULL,
    time_limit_ms INTEGER NOT NULL,
    submitted_ms  INTEGER NOT NULL,
    started_ms    INTEGER NOT NULL,
    ended_ms      INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL,
    exit_code     INTEGER NOT NULL,
    attempt       INTEGER NOT NULL                     -- the newest; 0 = none yet
);
CREATE INDEX jobs_not_over ON jobs (id) WHERE over = 0;
CREATE INDEX jobs_by_state ON jobs (state, id);

CREATE TABLE submissions (
    job_id    INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    job_file  BLOB NOT NULL,                           -- byte for byte
    file_name TEXT NOT NULL,
    folder    TEXT NOT NULL,                           -- relative paths start here
    overrides TEXT NOT NULL                            -- JSON: [{"key", "value"}, ...]
);

CREATE TABLE attempts (
    job_id       INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt      INTEGER NOT NULL,
    token        TEXT NOT NULL,
    started_ms   INTEGER NOT NULL,
    ended_ms     INTEGER NOT NULL,
    exit_code    INTEGER NOT NULL,
    signal       INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    reported     INTEGER NOT NULL,                     -- every record up to this number is here
    done         INTEGER NOT NULL,                     -- the worker's own end record came
    done_success INTEGER NOT NULL,
    done_reason  TEXT NOT NULL,
    done_text    TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;

CREATE TABLE events (
    cursor     INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    time_ms    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,                       -- field number in job.proto's Event
    series     TEXT,                                   -- what is thinned together; NULL = never thinned
    attempt    INTEGER NOT NULL,
    from_state INTEGER,                                -- these five: a change of state
    to_state   INTEGER,
    actor      TEXT,
    reason     TEXT,
    text       TEXT,
    body       BLOB                                    -- any other kind: its message, packed
);
CREATE INDEX events_by_job ON events (job_id, cursor);
CREATE INDEX events_by_series ON events (job_id, series, cursor) WHERE series IS NOT NULL;

CREATE TABLE structures (
    job_id     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,                       -- 1, 2, ...
    total_step INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    json       BLOB NOT NULL,
    PRIMARY KEY (job_id, version)
);

CREATE TABLE checkpoints (
    job_id     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    path       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    total_step INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    PRIMARY KEY (job_id, path)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    job_id     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    PRIMARY KEY (job_id, name)
) WITHOUT ROWID;

CREATE TABLE phase_times (
    job_id  INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    phase   TEXT NOT NULL,
    ordinal INTEGER NOT NULL,                          -- in the order they ended
    seconds REAL NOT NULL,
    PRIMARY KEY (job_id, phase)
) WITHOUT ROWID;
