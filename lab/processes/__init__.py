"""The lab's long-lived processes: started, known again, supervised, and ended."""
