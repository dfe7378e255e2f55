# SPDX-License-Identifier: MIT
# Prints the program in the EXAMPLES of a manual page, as its reader sees it.
/^\.Sh/ { examples = $2 == "EXAMPLES" }
/^\.Ed/ { code = 0 }
examples && code { gsub(/\\e/, "\\"); print }
/^\.Bd/ { code = 1 }
