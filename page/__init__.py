"""A page to play with: what demo.py opens in the browser. Each tab is a file here; all drawing is `sampling`'s.

app         the tabs put together, and how the page is served
offered     the checkpoints, data sets and runs that a visitor may name
machine     one job at a time for all visitors, each of which can be stopped
limits      how much a visitor may ask for
words       what the page says, in English and Chinese; refusals: what it says of a request that cannot be met
controls    the checkpoint, the sampler and its string: what most tabs begin with
markup      pictures and figures as HTML; curves as SVG
"""
