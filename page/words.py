"""What the page says, in English and in Chinese: by the browser's language."""

import gradio as gr

# A key -> (English, Chinese). {names} are filled in on the server.
WORDS = {
    "headline": (
        "# Diffusion models on small pictures\nDraw from trained models, watch noise become pictures, and see how it happens.",
        "# 小图像上的扩散模型\n用训练好的模型作画，看噪声如何变成图像，并了解其中的原理。",
    ),
    # tabs
    "tab_draw": ("Draw", "作画"),
    "tab_compare": ("Compare", "比较"),
    "tab_between": ("Between", "插值"),
    "tab_repair": ("Repair and edit", "修补与编辑"),
    "tab_understand": ("Understand", "理解"),
    "tab_training": ("Training", "训练"),
    # controls
    "model": ("Checkpoint", "模型"),
    "sampler": ("Sampler", "采样器"),
    "sampler_info": (
        "METHOD_STEPS_ETA[_SPACING][_cfgSCALE], as in DDIM_50_0p0; it and the controls follow each other",
        "方法_步数_ETA[_间隔][_cfg强度]，例如 DDIM_50_0p0；它与下面的控件互相联动",
    ),
    "sampler_parts": ("Sampler, part by part", "采样器的各个部分"),
    "method": ("Method", "方法"),
    "steps": ("Steps", "步数"),
    "eta": ("Eta: share of fresh noise", "Eta：新噪声的比例"),
    "spacing": ("Spacing of the timesteps", "时间步间隔"),
    "scale": ("Guidance (1: none)", "引导强度（1：无）"),
    "guide_first": ("Guide from timestep", "引导起始时间步"),
    "guide_last": ("Guide to timestep", "引导结束时间步"),
    "precision": ("Precision", "精度"),
    "seed": ("Seed of the first picture", "第一张图的种子"),
    "count": ("Pictures", "张数"),
    "class": ("Class", "类别"),
    "class_by_seed": ("by the seed", "由种子决定"),
    "class_all": ("all in turn", "依次全部"),
    # doing
    "draw": ("Draw", "作画"),
    "stop": ("Stop", "停止"),
    "scrub": ("Denoising, moment by moment", "逐步查看去噪过程"),
    "waiting": ("Waiting for the machine ...", "等待计算机……"),
    "step_of": ("Step {taken} of {steps}, t = {t}", "第 {taken} / {steps} 步，t = {t}"),
    "done": ("{count} pictures, seeds {first} to {last}.", "{count} 张图，种子 {first} 到 {last}。"),
    "stopped": ("Stopped after {taken} of {steps} steps.", "在第 {taken} / {steps} 步停止。"),
    "stopped_early": ("Stopped.", "已停止。"),
    "x_t": ("x_t: what the sampler holds", "x_t：采样器的当前状态"),
    "x_0": ("x_0: what the network expects", "x_0：网络的预测"),
    "finished": ("Finished", "完成"),
    "noise_at": ("{steps} steps taken, t = {t}, noise level {sigma:.3f}", "已走 {steps} 步，t = {t}，噪声水平 {sigma:.3f}"),
    "clean_at": ("all {steps} steps taken", "{steps} 步全部完成"),
    "calls": ("network calls a picture", "每张图的网络调用次数"),
    "seconds": ("seconds", "秒"),
    "computed_in": ("computed in", "计算精度"),
    "command": ("The same pictures, by hand:", "用命令行画出同样的图："),
    "png": ("PNG of all", "下载 PNG"),
    "gif": ("GIF of the denoising", "下载去噪 GIF"),
    "zip": ("ZIP by seed", "按种子下载 ZIP"),
    "nothing_yet": ("Nothing is drawn yet.", "还没有画任何图。"),
    "limits": (
        "At most {pictures} pictures and {steps:,} steps at a time, and {evaluations:,} pictures × network calls; one visitor "
        "at a time is drawn for, the others wait in turn.",
        "每次最多 {pictures} 张图、{steps:,} 步，且张数 × 网络调用次数不超过 {evaluations:,}；同一时间只为一位访客计算，其他访客排队等候。",
    ),
}

LANGUAGES = ("en", "zh")


def _translations(number: int) -> dict[str, str]:
    return {key: texts[number] for key, texts in WORDS.items()}


I18N = gr.I18n(en=_translations(0), zh=_translations(1), **{"zh-CN": _translations(1), "zh-TW": _translations(1)})


def word(key: str):
    """The text of that key, which the browser puts into its language. For labels, titles and texts that nothing is filled into."""
    assert key in WORDS, key
    return I18N(key)


def language_of(request: gr.Request | None) -> str:
    """The first of the browser's languages that there is: "en" or "zh"."""
    accepted = request.headers.get("accept-language", "") if request is not None else ""
    for part in accepted.split(","):
        name = part.split(";")[0].strip().lower().split("-")[0]
        if name in LANGUAGES:
            return name
    return "en"


def say(key: str, language: str, **values: object) -> str:
    """The text of that key, with the values filled in."""
    return WORDS[key][LANGUAGES.index(language)].format(**values)
