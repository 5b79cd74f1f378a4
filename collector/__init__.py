"""Wire to rows: OTLP comes in, spans are stored."""
