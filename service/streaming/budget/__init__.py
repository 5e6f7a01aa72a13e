"""A stream's budgets: how much explaining each window gets.

In: the requested methods, the latency or overhead budget, and how long windows took. Out: a Plan per window, with the
methods that the LatencyBudget (latency) and the OverheadBudget (overhead) leave, and why. Called by StreamSession,
through its BudgetPlanner (planner).
"""
