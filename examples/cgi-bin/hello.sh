#!/bin/sh
# A header, an empty line, and the page.
printf 'Content-Type: text/plain\n\n'
printf 'hello from process %d\n' "$$"
printf 'path %s, query %s\n' "$PATH_INFO" "$QUERY_STRING"
