//! JSON Schema of every event, command and read model, and the golden samples: generated and checked.
