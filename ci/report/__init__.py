"""Stage 7, what people and programs read: report, tables, SBOM, provenance, schematic."""
