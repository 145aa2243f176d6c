"""The same game in other frameworks, each in its own idiom and as fast as somebody at home there would write it."""
