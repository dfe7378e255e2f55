// SPDX-License-Identifier: MIT
/* offlay explain: verdicts, codes, and JSON as a parser takes it. */
#include <stdio.h>
#include <string.h>
#include "mount.h"
#include "tool.h"

/* A sparse file, a full one, and one with two reasons. */
static void make_files(const char *dir)
{
	tool_sh(dir,
		"truncate -s 64K sparse; head -c 65536 /dev/urandom >full; "
		"head -c 65536 /dev/urandom >both; truncate -s 128K both; "
		"setfattr -n user.DOSATTRIB -v '\"0x4000\"' both 2>/dev/null || "
		"rm both; sync",
		NULL);
}

/* Runs "offlay explain --json LINE", and a check in Python on its list r. */
static void check_json(const char *dir, const char *line, int status,
		       const char *check)
{
	char words[TOOL_LINE], script[TOOL_LINE];

	snprintf(words, sizeof(words), "explain --json %s >out 2>err", line);
	tool_run(dir, NULL, words, status, NULL);
	snprintf(script, sizeof(script),
		 "cat >check.py <<'END'\n"
		 "import json\n"
		 "r = json.load(open('out'))\n"
		 "%s\n"
		 "END\n"
		 "python3 check.py",
		 check);
	tool_sh(dir, script, NULL);
}

TOOL_ON_EACH_BACKING(tool_explain, writes_json_that_a_parser_takes)
{
	make_files(place->dir);
	check_json(
		place->dir, "full sparse missing .", 1,
		"full, sparse, missing, folder = r\n"
		"assert full['file'] == 'full' and full['eligible'], full\n"
		"assert full['size'] == 65536 and full['mount'] is None\n"
		"assert full['deny'] == 'sparse:encrypted:compressed'\n"
		"for side in 'source', 'destination':\n"
		"    assert full[side] == {'eligible': True, 'reasons': []}\n"
		"assert not sparse['eligible']\n"
		"s = sparse['source']\n"
		"assert s['reasons'] == [{'reason': 'sparse', 'detail': "
		"'hole of 65536 bytes at 0'}], s\n"
		"assert s['hole'] == {'offset': 0, 'length': 65536}, s\n"
		"assert s['win32'] == 4442 and s['errno'] == 'EOPNOTSUPP'\n"
		"assert s['ntstatus'] == 0xC000A2A3, s\n"
		"assert sparse['destination']['eligible']\n"
		"assert missing['error'] == 'ENOENT', missing\n"
		"assert missing['message'] == 'No such file or directory'\n"
		"assert folder['source']['reasons'][0]['reason'] == "
		"'not-regular'");
	check_json(place->dir, "--deny none sparse full", 0,
		   "assert all(f['eligible'] and f['deny'] == 'none' "
		   "for f in r)");
	tool_sh(place->dir,
		"n=$(printf 'a\"b\\\\c\\n\\377'); : >\"$n\"; "
		"\"$OFFLAY\" explain --json \"$n\" >out; "
		"python3 -c 'import json, os; "
		"r = json.load(open(\"out\")); "
		"assert os.fsencode(r[0][\"file\"]) == "
		"b\"a\\\"b\\\\c\\n\\xff\", r'",
		NULL);
}

TOOL_ON_EACH_BACKING(tool_explain, names_every_reason_in_json)
{
	make_files(place->dir);
	if (!tool_exists(place->dir, "both"))
		volume_skip(backing_name(place->volume.backing),
			    "no user attributes on tmpfs");
	check_json(place->dir, "both", 1,
		   "s, d = r[0]['source'], r[0]['destination']\n"
		   "assert [x['reason'] for x in s['reasons']] == "
		   "['sparse', 'encrypted'], s\n"
		   "assert [x['reason'] for x in d['reasons']] == "
		   "['encrypted'], d\n"
		   "assert s['dos_attributes'] == d['dos_attributes'] == "
		   "0x4000\n"
		   "assert d['win32'] == 4443, d");
}

/* On the backing, and on mounts that take it as it is, and do not. */
TOOL_ON_EACH_BACKING(tool_explain, says_what_the_volume_cannot)
{
	bool can = backing_has_reflink(place->volume.backing);
	const char *check = can ? "assert r[0]['volume'] == {'able': True}, r"
				: "v = r[0]['volume']\n"
				  "assert not v['able'], v\n"
				  "assert v['source']['win32'] == 4440, v\n"
				  "assert v['destination']['win32'] == 4441, v";
	struct command_result result;
	struct mount mount;

	make_files(place->dir);
	check_json(place->dir, "full", 0, check);
	tool_run(place->dir, NULL, "explain full", 0, &result);
	cr_expect_eq(!strstr(result.out, "4440"), can, "%s", result.out);
	mount_open(place->dir, NULL, &mount);
	check_json(mount.point, "full", 0, check);
	mount_close(&mount);
	mount_open(place->dir, "offload=clone", &mount);
	check_json(mount.point, "full", can ? 0 : 1, check);
	mount_close(&mount);
}

TOOL_ON_EACH_BACKING(tool_explain, asks_the_mount_for_its_options)
{
	struct command_result result;
	struct mount mount;

	make_files(place->dir);
	mount_open(place->dir, "deny=encrypted,refuse=copy", &mount);
	check_json(mount.point, "sparse", 0,
		   "assert r[0]['deny'] == 'encrypted'\n"
		   "assert r[0]['mount'] == "
		   "{'refuse': 'copy', 'offload': 'auto'}, r");
	tool_run(mount.point, NULL, "explain --deny none sparse", 1, &result);
	tool_expect_text(result.err, "whose own policy counts");
	mount_close(&mount);
}

static const struct {
	const char *code;
	int rows; /* 0: at least two */
	const char *win32, *text;
} codes[] = {
	{ "4440", 1, "4440", "0xC000A2A1 STATUS_OFFLOAD_READ_FLT" },
	{ "4441", 1, "4441", "0xC000A2A2 STATUS_OFFLOAD_WRITE_FLT" },
	{ "4442", 1, "4442", "0xC000A2A3 STATUS_OFFLOAD_READ_FILE" },
	{ "4443", 1, "4443", "0xC000A2A4 STATUS_OFFLOAD_WRITE_FILE" },
	{ "0x115B", 1, "4443", "ERROR_OFFLOAD_WRITE_FILE_NOT_SUPPORTED" },
	{ "0xC000A2A4", 1, "4443", "95 EOPNOTSUPP" },
	{ "-1073700188", 1, "4443", "0xC000A2A4" },
	{ "ERROR_OFFLOAD_WRITE_FILE_NOT_SUPPORTED", 1, "4443", "0xC000A2A4" },
	{ "offload_read_file_not_supported", 1, "4442", "0xC000A2A3" },
	{ "STATUS_INVALID_TOKEN", 1, "315", "ESTALE" },
	{ "EOPNOTSUPP", 0, "4442", "ERROR_OFFLOAD_WRITE_FLT_NOT_SUPPORTED" },
	{ "95", 0, "4443", "ERROR_OFFLOAD_READ_FLT_NOT_SUPPORTED" },
};

Test(tool_explain, explains_codes_by_number_and_by_name)
{
	char line[128], check[512], dir[PATH_MAX];
	struct command_result result;

	volume_scratch_dir("explain", dir);
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		snprintf(line, sizeof(line), "explain --code %s",
			 codes[i].code);
		tool_run(dir, NULL, line, 0, &result);
		tool_expect_text(result.out, codes[i].text);
		tool_expect_text(result.out, "why");
		tool_expect_text(result.out, "do");
		snprintf(line, sizeof(line), "--code %s", codes[i].code);
		snprintf(check, sizeof(check),
			 "assert len(r) == %d if %d else len(r) > 1, r\n"
			 "assert %s in [x['win32'] for x in r], r\n"
			 "assert all(x['why'] and x['advice'] and x['errno'] > "
			 "0 and x['ntstatus_name'].startswith('STATUS_') and "
			 "x['win32_name'].startswith('ERROR_') for x in r), r",
			 codes[i].rows, codes[i].rows, codes[i].win32);
		check_json(dir, line, 0, check);
	}
}

Test(tool_explain, knows_no_other_code_or_word)
{
	static const struct {
		const char *line;
		int status;
		const char *err;
	} rows[] = {
		{ "--code 7777777", 1, "no code or name '7777777'" },
		{ "--code 4443x", 1, "no code or name '4443x'" },
		{ "--code ''", 1, "no code or name" },
		{ "--code 99999999999999999999", 1, "no code or name" },
		{ "--code E\\\"\\\\", 1, "no code or name" },
		{ "--code 4443 file", 2, "--code stands alone" },
		{ "--code 4443 --deny none", 2, "--code stands alone" },
		{ "--code", 2, "no argument after" },
		{ "", 2, "no FILE given" },
		{ "--deny ugly /", 2, "--deny does not know 'ugly'" },
		{ "--frob /", 2, "unknown option" },
		{ "/nowhere", 1, "'/nowhere': No such file" },
	};
	struct command_result result;
	char line[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(line, sizeof(line), "explain %s", rows[i].line);
		tool_run("/", NULL, line, rows[i].status, &result);
		tool_expect_text(result.err, rows[i].err);
		cr_expect_str_empty(result.out, "offlay %s", line);
	}
	tool_run("/", NULL, "explain --json --code 7777777", 1, &result);
	cr_expect_str_eq(result.out, "[]\n");
}
