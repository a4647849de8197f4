"""The browser app: pages over the store. It samples nothing itself; work is asked of jobs."""
