"""HTTP: models behind an API, and the page in front of it. Everything here needs the extra ``serve``."""
