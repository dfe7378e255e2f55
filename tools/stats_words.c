// SPDX-License-Identifier: MIT
/* What the counters of a mount are called in tables, JSON and Prometheus. */
#include "offlay.h"
#include "mount_stats.h"

#define END             \
	{               \
		0, NULL \
	}

static const struct stats_word copies[] = {
	{ OFFLAY_STAT_COPIES_CLONED, "cloned" },
	{ OFFLAY_STAT_COPIES_OFFLOADED, "offloaded" },
	{ OFFLAY_STAT_COPIES_MOVED, "moved" },
	{ OFFLAY_STAT_COPIES_EMPTY, "empty" },
	{ OFFLAY_STAT_COPIES_REFUSED, "refused" },
	{ OFFLAY_STAT_COPIES_DECLINED, "declined" },
	{ OFFLAY_STAT_COPIES_FAILED, "failed" },
	{ OFFLAY_STAT_COPIES_DIFFER, "different" },
	END,
};

static const struct stats_word bytes[] = {
	{ OFFLAY_STAT_BYTES_SHARED, "shared" },
	{ OFFLAY_STAT_BYTES_OFFLOADED, "offloaded" },
	{ OFFLAY_STAT_BYTES_MOVED, "moved" },
	{ OFFLAY_STAT_BYTES_HOLES, "holes" },
	{ OFFLAY_STAT_BYTES_REFUSED, "refused" },
	END,
};

/* What a policy can deny, by offlay_reason_name(). */
#define REASONS(first)                                              \
	{ (first) + OFFLAY_REASON_SPARSE, "sparse" },               \
		{ (first) + OFFLAY_REASON_ENCRYPTED, "encrypted" }, \
		{ (first) + OFFLAY_REASON_COMPRESSED, "compressed" }, END
static const struct stats_word refused_src[] = {
	REASONS(OFFLAY_STAT_REFUSED_SRC),
};
static const struct stats_word refused_dst[] = {
	REASONS(OFFLAY_STAT_REFUSED_DST),
};

static const struct stats_word answers[] = {
	{ OFFLAY_STAT_ANSWERED_EOPNOTSUPP, "EOPNOTSUPP" },
	{ OFFLAY_STAT_ANSWERED_EINVAL, "EINVAL" },
	END,
};

static const struct stats_word edges[] = {
	{ OFFLAY_STAT_REFUSED_EDGES, "refused" },
	END,
};

static const struct stats_word tokens[] = {
	{ OFFLAY_STAT_TOKENS_MADE, "made" },
	{ OFFLAY_STAT_TOKENS_WRITTEN, "written" },
	{ OFFLAY_STAT_TOKENS_DROPPED, "dropped" },
	{ OFFLAY_STAT_TOKENS_REFUSED, "refused" },
	{ OFFLAY_STAT_TOKENS_FAILED, "failed" },
	END,
};

static const struct stats_word opens[] = {
	{ OFFLAY_STAT_OPENS_PASSTHROUGH, "passthrough" },
	{ OFFLAY_STAT_OPENS_DIRECT, "direct" },
	{ OFFLAY_STAT_OPENS_CACHED, "cached" },
	END,
};

static const struct stats_word accel[] = {
	{ OFFLAY_STAT_ACCEL_HITS, "shared" },
	{ OFFLAY_STAT_ACCEL_MISSES, "written" },
	END,
};

static const struct stats_word accel_bytes[] = {
	{ OFFLAY_STAT_ACCEL_BYTES_SHARED, "shared" },
	{ OFFLAY_STAT_ACCEL_BYTES_WRITTEN, "written" },
	END,
};

#define ACCEL(why, name)                                         \
	{                                                        \
		OFFLAY_STAT_ACCEL_WHY + OFFLAY_ACCEL_##why, name \
	}
static const struct stats_word accel_why[] = {
	ACCEL(SMALL, "small"),	   ACCEL(DIFFERENT, "different"),
	ACCEL(BUSY, "busy"),	   ACCEL(COLD, "cold"),
	ACCEL(BROKEN, "broken"),   ACCEL(INELIGIBLE, "ineligible"),
	ACCEL(HOLE, "hole"),	   ACCEL(OVERWRITE, "overwrite"),
	ACCEL(REFUSED, "refused"), END,
};

static const struct stats_word rules[] = {
	{ OFFLAY_STAT_RULE_HITS, "applied" },
	END,
};

static const struct stats_word trace[] = {
	{ OFFLAY_STAT_EVENTS, "told" },
	{ OFFLAY_STAT_EVENTS_UNWRITTEN, "unwritten" },
	END,
};

static const struct stats_group groups[] = {
	{ "Copies", "copies", "offlay_copies_total", "result", "",
	  "Requests to copy, clone or deduplicate, by outcome.", false,
	  copies },
	{ "Bytes", "bytes", "offlay_bytes_total", "how", "",
	  "Bytes of copies, by what became of them.", true, bytes },
	{ "Sources refused", "refused_sources", "offlay_refusals_total",
	  "reason", "side=\"source\"",
	  "Reasons of refused copies and tokens; one may have several.", false,
	  refused_src },
	{ "Destinations refused", "refused_destinations",
	  "offlay_refusals_total", "reason", "side=\"destination\"",
	  "Reasons of refused copies and tokens; one may have several.", false,
	  refused_dst },
	{ "Refusals answered", "refusals_answered",
	  "offlay_refusals_answered_total", "errno", "",
	  "Errnos that refused requests were answered with.", false, answers },
	{ "Reads and writes of refused copies", "refused_edges",
	  "offlay_refused_edges_total", "result", "",
	  "Reads and writes by which the kernel tried to copy all the same.",
	  false, edges },
	{ "Tokens", "tokens", "offlay_tokens_total", "result", "",
	  "Offload reads and writes, and dropped tokens.", false, tokens },
	{ "Opens", "opens", "offlay_opens_total", "mode", "",
	  "Opened regular files, by how the kernel reads and writes them.",
	  false, opens },
	{ "Copies by read and write", "accelerated",
	  "offlay_accelerated_writes_total", "result", "",
	  "Writes of copies by read and write, by what became of them.", false,
	  accel },
	{ "Bytes of these", "accelerated_bytes",
	  "offlay_accelerated_bytes_total", "how", "",
	  "Bytes of copies by read and write, by what became of them.", true,
	  accel_bytes },
	{ "Written because", "accelerated_not", "offlay_accelerated_not_total",
	  "reason", "",
	  "Why writes of copies by read and write were not shared.", false,
	  accel_why },
	{ "Fault rules", "rules", "offlay_rule_hits_total", "result", "",
	  "Requests that fault rules applied to.", false, rules },
	{ "Events", "events", "offlay_events_total", "result", "",
	  "Events for the trace; unwritten ones did not reach its file.", false,
	  trace },
};

const struct stats_group *stats_group_at(size_t index)
{
	return index < sizeof(groups) / sizeof(*groups) ? &groups[index] : NULL;
}

static const struct stats_gauge gauges[] = {
	{ OFFLAY_GAUGE_PASSTHROUGH, "passthrough", "Passthrough",
	  "offlay_passthrough", "1 if the kernel reads and writes by itself.",
	  STATS_SWITCH },
	{ OFFLAY_GAUGE_UPTIME_NSEC, "uptime_seconds", "Up for",
	  "offlay_uptime_seconds", "Time since the mount.", STATS_NSEC },
	{ OFFLAY_GAUGE_PID, "pid", "Daemon's pid", "offlay_pid",
	  "Process id of the daemon.", STATS_NUMBER },
	{ OFFLAY_GAUGE_RESIDENT_BYTES, "resident_bytes", "Resident memory",
	  "offlay_resident_bytes", "Resident memory of the daemon.",
	  STATS_BYTES },
	{ OFFLAY_GAUGE_INODES, "inodes", "Inodes cached", "offlay_inodes",
	  "Inodes that the kernel knows.", STATS_NUMBER },
	{ OFFLAY_GAUGE_OPEN_FILES, "open_files", "Open files",
	  "offlay_open_files", "Files and directories that are open.",
	  STATS_NUMBER },
	{ OFFLAY_GAUGE_DESCRIPTORS, "descriptors", "Descriptors",
	  "offlay_descriptors", "Descriptors kept for inodes and open files.",
	  STATS_NUMBER },
	{ OFFLAY_GAUGE_DESCRIPTORS_MAX, "descriptors_max",
	  "Descriptors at most", "offlay_descriptors_max",
	  "Most descriptors that may be kept.", STATS_NUMBER },
	{ OFFLAY_GAUGE_TOKENS, "live_tokens", "Tokens alive",
	  "offlay_live_tokens", "Tokens that have not expired.", STATS_NUMBER },
	{ OFFLAY_GAUGE_TOKEN_BYTES, "live_token_bytes", "Bytes of tokens",
	  "offlay_live_token_bytes", "Bytes that these stand for.",
	  STATS_BYTES },
	{ OFFLAY_GAUGE_TRACE_READERS, "trace_readers", "Readers of the trace",
	  "offlay_trace_readers", "Those who listen to events now.",
	  STATS_NUMBER },
};

const struct stats_gauge *stats_gauge_at(size_t index)
{
	return index < sizeof(gauges) / sizeof(*gauges) ? &gauges[index] : NULL;
}
