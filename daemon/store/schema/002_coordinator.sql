-- Attempts that are counted, waited for and explained; what a person asked of a job; folders that are still to go.
-- Every column has a default, so that jobs of schema 1 go on as they were.

ALTER TABLE jobs ADD COLUMN retries INTEGER NOT NULL DEFAULT -1;       -- the job file's; -1 = the daemon's
ALTER TABLE jobs ADD COLUMN counted_from INTEGER NOT NULL DEFAULT 0;   -- attempts up to this one count no more: a person said retry
ALTER TABLE jobs ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;  -- back-off: the next attempt is not placed earlier
ALTER TABLE jobs ADD COLUMN on_stall INTEGER NOT NULL DEFAULT 0;       -- 0 tell, 1 restart
ALTER TABLE jobs ADD COLUMN stall_ms INTEGER NOT NULL DEFAULT 300000;  -- shortest silence that is a stall
ALTER TABLE jobs ADD COLUMN stall_factor REAL NOT NULL DEFAULT 10;     -- and in median steps
ALTER TABLE jobs ADD COLUMN resume_from TEXT NOT NULL DEFAULT '';      -- checkpoint that a person named; "" = the newest
ALTER TABLE jobs ADD COLUMN resume_since INTEGER NOT NULL DEFAULT 0;   -- the attempt that went back to it

ALTER TABLE attempts ADD COLUMN text TEXT NOT NULL DEFAULT '';         -- why it ended, for people
ALTER TABLE attempts ADD COLUMN host TEXT NOT NULL DEFAULT '';         -- where rank 0 ran
ALTER TABLE attempts ADD COLUMN resumed_step INTEGER NOT NULL DEFAULT 0;

-- Jobs whose rows a person removed and whose folder is not deleted yet.
CREATE TABLE removals (
    job_id INTEGER PRIMARY KEY
);

-- Which node, cores and GPUs each rank of an attempt has; JSON, one object a rank.
CREATE TABLE placements (
    job_id  INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    json    TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;

-- What a checkpoint is worth, and whether a person keeps it.
ALTER TABLE checkpoints ADD COLUMN phase TEXT NOT NULL DEFAULT '';
ALTER TABLE checkpoints ADD COLUMN metric_name TEXT NOT NULL DEFAULT '';  -- '' = none was measured
ALTER TABLE checkpoints ADD COLUMN metric REAL NOT NULL DEFAULT 0;
ALTER TABLE checkpoints ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoints ADD COLUMN time_ms INTEGER NOT NULL DEFAULT 0;

-- The job file's rule for checkpoints; a job of schema 1 has no row and keeps two.
CREATE TABLE keep_rules (
    job_id      INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    last        INTEGER NOT NULL,
    best        INTEGER NOT NULL,
    best_by     TEXT NOT NULL,                         -- as checkpoints.metric_name
    quota_bytes INTEGER NOT NULL
);

-- How large a read-out is; -1 = it was stored before this was.
ALTER TABLE structures ADD COLUMN params_kept REAL NOT NULL DEFAULT -1;
ALTER TABLE structures ADD COLUMN pruned REAL NOT NULL DEFAULT -1;
ALTER TABLE structures ADD COLUMN shared REAL NOT NULL DEFAULT -1;

-- The structure that a job's search starts frozen on; '' = it searches one.
ALTER TABLE submissions ADD COLUMN structure BLOB NOT NULL DEFAULT '';

-- How far readers of all events have come: the webhook.
CREATE TABLE marks (
    name   TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_of_state ON events (cursor) WHERE kind = 4;  -- changes of state: what it looks for

-- What a job wants of Slurm, as JSON; jobs without a row are started by the daemon's own launcher.
CREATE TABLE slurm_requests (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    json   TEXT NOT NULL
);

-- Who may call over the network. A token itself is nowhere: 256 random bits cannot be guessed from their hash.
CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    role       INTEGER NOT NULL,                       -- the numbers of job.proto
    sha256     TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,                       -- 0 = never
    revoked_ms INTEGER NOT NULL                        -- 0 = in force
);
CREATE UNIQUE INDEX tokens_in_force ON tokens (name) WHERE revoked_ms = 0;

-- People list their own jobs.
CREATE INDEX jobs_by_owner ON jobs (owner, id);

-- Nodes on which nothing new starts, because a person said so.
CREATE TABLE drained_nodes (
    host TEXT PRIMARY KEY
) WITHOUT ROWID;

-- What a job means to do; with phase_times, how long jobs of the same shape take.
CREATE TABLE phase_plans (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    phase  TEXT NOT NULL,
    shape  TEXT NOT NULL,                              -- model, batch, ranks and threads
    steps  INTEGER NOT NULL,                           -- 0: a phase without weight steps
    timed  INTEGER NOT NULL DEFAULT 0,                 -- 1: phase_times has it
    PRIMARY KEY (job_id, phase)
) WITHOUT ROWID;
-- Only what is timed, so that a long queue of jobs alike costs a Submit nothing.
CREATE INDEX phase_plans_by_shape ON phase_plans (shape, job_id) WHERE timed = 1;
CREATE TRIGGER phase_plans_timed AFTER INSERT ON phase_times BEGIN
    UPDATE phase_plans SET timed = 1 WHERE job_id = NEW.job_id AND phase = NEW.phase;
END;
