"""Evidence from others as rows of a member's own tables: a module a source; schema, licence and provenance a row."""
