// SPDX-License-Identifier: MIT
/* Tests of lib/offlay_trace.h: an ABI that must never move by accident. */
#include "offlay_trace.h" /* first: it must stand alone */

#include <criterion/criterion.h>
#include <stddef.h>

#include "offlay.h"

#define AT(type, field, offset)                                  \
	_Static_assert(offsetof(struct type, field) == (offset), \
		       #type "." #field)

_Static_assert(sizeof(struct offlay_trace_event) == 176, "event");
AT(offlay_trace_event, size, 0);
AT(offlay_trace_event, op, 4);
AT(offlay_trace_event, flags, 6);
AT(offlay_trace_event, number, 8);
AT(offlay_trace_event, time, 16);
AT(offlay_trace_event, nsec, 24);
AT(offlay_trace_event, pid, 32);
AT(offlay_trace_event, tid, 36);
AT(offlay_trace_event, uid, 40);
AT(offlay_trace_event, err, 44);
AT(offlay_trace_event, verdict, 48);
AT(offlay_trace_event, src_reasons, 52);
AT(offlay_trace_event, dst_reasons, 56);
AT(offlay_trace_event, methods, 60);
AT(offlay_trace_event, declined_clone, 64);
AT(offlay_trace_event, declined_offload, 68);
AT(offlay_trace_event, src_ino, 72);
AT(offlay_trace_event, dst_ino, 80);
AT(offlay_trace_event, src_offset, 88);
AT(offlay_trace_event, dst_offset, 96);
AT(offlay_trace_event, length, 104);
AT(offlay_trace_event, bytes, 112);
AT(offlay_trace_event, shared, 120);
AT(offlay_trace_event, offloaded, 128);
AT(offlay_trace_event, moved, 136);
AT(offlay_trace_event, holes, 144);
AT(offlay_trace_event, comm_size, 152);
AT(offlay_trace_event, src_size, 154);
AT(offlay_trace_event, dst_size, 156);
AT(offlay_trace_event, reserved, 160);

_Static_assert(sizeof(struct offlay_ioc_trace) == 16352, "trace");
AT(offlay_ioc_trace, version, 0);
AT(offlay_ioc_trace, flags, 4);
AT(offlay_ioc_trace, lost, 8);
AT(offlay_ioc_trace, size, 16);
AT(offlay_ioc_trace, reserved, 20);
AT(offlay_ioc_trace, data, 32);

_Static_assert(sizeof(struct offlay_latency) == 936, "latency");
AT(offlay_latency, count, 0);
AT(offlay_latency, sum, 8);
AT(offlay_latency, max, 16);
AT(offlay_latency, buckets, 24);

_Static_assert(sizeof(struct offlay_ioc_stats) == 9120, "stats");
AT(offlay_ioc_stats, version, 0);
AT(offlay_ioc_stats, flags, 4);
AT(offlay_ioc_stats, reserved, 8);
AT(offlay_ioc_stats, counters, 32);
AT(offlay_ioc_stats, requests, 1056);
AT(offlay_ioc_stats, gauges, 1440);
AT(offlay_ioc_stats, latencies, 1632);

/* As numbers: a program built yesterday has them inside. */
Test(trace_abi, keeps_its_numbers)
{
	cr_expect_eq(OFFLAY_IOC_TRACE_READ, 0xFFE0F110u);
	cr_expect_eq(OFFLAY_IOC_STATS, 0xE3A0F111u);
	cr_expect_eq(OFFLAY_EVENT_COPYING, 1);
	cr_expect_eq(OFFLAY_EVENT_ACCEL, 2);
	cr_expect_eq(OFFLAY_EVENT_EDGE, 4);
	cr_expect_eq(OFFLAY_EVENT_RULED, 8);
	cr_expect_eq(OFFLAY_TRACE_ALL, 1);
	cr_expect_eq(OFFLAY_TRACE_NEW, 2);
	cr_expect_eq(OFFLAY_LATENCY_FIRST, 1024);
}

Test(trace_abi, has_room_for_every_reason)
{
	cr_expect_leq(OFFLAY_STAT_REFUSED_SRC + OFFLAY_REASON_COUNT,
		      OFFLAY_STAT_REFUSED_DST);
	cr_expect_leq(OFFLAY_STAT_REFUSED_DST + OFFLAY_REASON_COUNT,
		      OFFLAY_STAT_TOKENS_MADE);
}
