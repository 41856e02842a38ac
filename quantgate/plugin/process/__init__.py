"""What keeps the processes of a run in hand, whatever a subject's code does: a watchdog, forks, signals, what is left.

`timeouts` asks pytest how long a cell may take; nothing else here knows of pytest, and nothing of how cells are judged.
"""
