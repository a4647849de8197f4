"""The paper's questions as numbers: claims, diagnostics, the audit of a whole system."""
