"""The same game in other frameworks, each in its own idiom and as fast as an experienced user of it would write it."""
