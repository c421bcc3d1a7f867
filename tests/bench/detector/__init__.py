"""The detector's benchmarks: one module a question, on logs that `world` and `log` make.

A trial: `RUNS=1 EVENTS=100000 CARTS=10000 make bench ONLY=detector.events` shrinks a run; its figures go to build/bench.trial.json.
A profile: `PROFILE=build/detector.prof EVENTS=300000 make bench ONLY=detector.events`, then
`.venv/bin/python -m pstats build/detector.prof` (the main thread by cProfile, one run; its figures are a trial's too).
"""
