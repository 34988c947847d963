"""What the page says, in English and in Chinese: by the browser's language."""

import gradio as gr

# A key -> (English, Chinese). {names} are filled in on the server.
WORDS = {
    "headline": (
        "# Diffusion models on small pictures\nDraw from trained models, watch noise become pictures, and see how it happens.",
        "# 小图像上的扩散模型\n用训练好的模型生成图像，看噪声如何变成图像，并了解其中的原理。",
    ),
    # tabs
    "tab_draw": ("Draw", "生成"),
    "tab_compare": ("Compare", "比较"),
    "tab_between": ("Between", "插值"),
    "tab_repair": ("Repair and edit", "修补与编辑"),
    "tab_understand": ("Understand", "理解"),
    "tab_training": ("Training", "训练"),
    # controls
    "model": ("Checkpoint", "检查点"),
    "sampler": ("Sampler", "采样器"),
    "sampler_info": (
        "METHOD_STEPS_ETA[_SPACING][_cfgSCALE], as in DDIM_50_0p0; it and the controls follow each other",
        "METHOD_STEPS_ETA[_SPACING][_cfgSCALE]（方法、步数、ETA、间隔、引导强度），例如 DDIM_50_0p0；它与下面的控件互相联动",
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
    "seed": ("First seed", "起始种子"),
    "count": ("Pictures", "张数"),
    "class": ("Class", "类别"),
    "class_by_seed": ("by the seed", "由种子决定"),
    "class_all": ("all in turn", "依次全部"),
    # doing
    "draw": ("Draw", "生成"),
    "hint": ("Press Draw, and watch noise become pictures.", "点击“生成”，看噪声变成图像。"),
    "one_seed": ("Seed", "种子"),
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
    "noise_at": (
        "{steps} steps taken, t = {t}, noise level {sigma:.3f}",
        "已走 {steps} 步，t = {t}，噪声水平 {sigma:.3f}",
    ),
    "clean_at": ("all {steps} steps taken", "{steps} 步全部完成"),
    "calls": ("network calls a picture", "每张图的网络调用次数"),
    "seconds": ("seconds", "秒"),
    "computed_in": ("computed in", "计算精度"),
    "command": ("The same pictures, by hand:", "用命令行生成同样的图："),
    "png": ("PNG of all", "下载 PNG"),
    "gif": ("GIF of the denoising", "下载去噪 GIF"),
    "zip": ("ZIP by seed", "按种子下载 ZIP"),
    "seeds": ("seeds", "种子"),
    "pictures": ("Pictures", "图像"),
    "share_of": ("{share:.0%} done", "已完成 {share:.0%}"),
    # compare
    "compare_intro": (
        "The same seeds by several samplers, checkpoints or precisions, one beneath the other. Empty rows are left out.",
        "用多个采样器、检查点或精度生成相同种子的图像，逐行排列。空行会被忽略。",
    ),
    "more_rows": ("More rows", "更多行"),
    # pictures to begin with
    "number_or_seed": ("Number or seed", "编号或种子"),
    "from_data": ("From the data", "取自数据集"),
    "by_seed": ("Drawn by seed", "按种子生成"),
    "canvas_label": (
        "The picture. Draw with the mouse, or with the arrow keys and space.",
        "图像。可用鼠标，或方向键加空格键绘制。",
    ),
    "canvas_tool": ("Tool", "工具"),
    "canvas_draw": ("Paint", "绘制"),
    "canvas_mark": ("Mark to fill in", "标记待填充处"),
    "canvas_unmark": ("Unmark", "取消标记"),
    "canvas_colour": ("Colour", "颜色"),
    "canvas_brush": ("Brush", "笔刷"),
    "canvas_blank": ("Blank", "清空"),
    "canvas_clear": ("Clear marks", "清除标记"),
    "canvas_file": ("From a file ...", "打开文件……"),
    "canvas_no_picture": ("That file is no picture that the browser can read.", "浏览器无法将该文件识别为图像。"),
    # between
    "between_intro": (
        "What lies between two pictures: noised pictures mixed (lerp, slerp), or their latents (ddim, which needs a "
        "sampler that adds no noise).",
        "两张图之间有什么：混合加噪后的图像（lerp、slerp），或混合潜变量（ddim，需要不加噪声的采样器）。",
    ),
    "between_first": ("### From", "### 起点"),
    "between_second": ("### To", "### 终点"),
    "between_first_name": ("from", "起点"),
    "between_second_name": ("to", "终点"),
    "modes": ("Ways of mixing", "混合方式"),
    "noise_share": ("Share of the noise at which lerp and slerp mix", "lerp 与 slerp 混合时的噪声比例"),
    "go_between": ("Go from one to the other", "从起点走到终点"),
    "between_slider": ("From one to the other", "从起点到终点"),
    "between_done": ("The ring marks the largest jump of each way.", "圆圈标出每种方式变化最大的一步。"),
    "between_changes": ("Change from each picture to the next", "相邻两张图之间的变化"),
    "between_axis": ("from one (0) to the other (1)", "从起点（0）到终点（1）"),
    # repair and edit
    "repair_intro": (
        "Mark a part and have it filled in, the rest being kept; or draw something rough and have it drawn anew. A sampler "
        "that ends in _r5 takes each step five times, so that what is filled in fits better.",
        "标记一部分并将其填充，其余保持不变；或画一个草图，让模型重新绘制。以 _r5 结尾的采样器每步重复五次，填充结果更协调。",
    ),
    "results": ("Results", "结果"),
    "seed_of_results": ("Seed of the results", "结果的种子"),
    "strength": ("Strength of editing", "编辑强度"),
    "strength_info": ("little keeps the picture, much keeps only its rough shape", "小则保留原图，大则只保留大致形状"),
    "inpaint": ("Fill in what is marked", "填充标记处"),
    "edit": ("Edit all of it", "编辑整张图"),
    "inpaint_done": ("{count} ways to fill it in.", "{count} 种填充结果。"),
    "edit_done": ("{count} ways to draw it anew.", "{count} 种重绘结果。"),
    "given": ("Given", "原图"),
    "class_of_picture": ("the picture's own", "图像自身的类别"),
    # understand
    "understand_intro": (
        "How a picture comes about, step by step; how one becomes noise; and the schedule along which both go.",
        "一张图如何一步步生成，又如何变成噪声；以及两者所遵循的噪声调度。",
    ),
    "from_noise": ("### From noise to a picture", "### 从噪声到图像"),
    "to_noise": ("### From a picture to noise", "### 从图像到噪声"),
    "follow": ("Follow it", "跟踪生成"),
    "way_done": ("Move the slider to go along its way.", "移动滑块查看它的生成过程。"),
    "number": ("Number of a real picture", "真实图像的编号"),
    "noise_steps": ("Steps of noise", "加噪步数"),
    "real": ("A real picture", "真实图像"),
    "after_noise": ("after {steps} steps of noise", "加噪 {steps} 步之后"),
    "curve_alpha_bar": (
        "alpha_bar: what is left of the picture; a dot at each of the sampler's {steps} steps",
        "alpha_bar：图像还剩多少；圆点为采样器的 {steps} 步",
    ),
    "curve_log_snr": ("log SNR: the logarithm of signal to noise", "log SNR：信噪比的对数"),
    # training
    "training_intro": (
        "The runs in train_results/, also while they train; this page looks again every few seconds.",
        "train_results/ 中的训练，包括正在进行的；本页每隔几秒刷新一次。",
    ),
    "run": ("Run", "训练"),
    "no_run": (
        "There is no training here yet. Start one beside this page: bash run_train.sh",
        "这里还没有训练。可在另一个终端启动：bash run_train.sh",
    ),
    "no_lines": ("The run has not written anything yet.", "该训练还没有写出任何内容。"),
    "at_step": ("step {step:,}", "第 {step:,} 步"),
    "warnings": ("Warnings", "警告"),
    "grids": ("What it drew as it went on", "训练过程中生成的图"),
    "curves": ("Curves", "曲线"),
    "training_step": ("training step", "训练步数"),
    "nothing_yet": ("Nothing is drawn yet.", "还没有生成任何图。"),
    "limits": (
        "At most {pictures} pictures and {steps:,} steps at a time, and {evaluations:,} pictures × network calls; one visitor "
        "at a time is drawn for, the others wait in turn.",
        "每次最多 {pictures} 张图、{steps:,} 步，且张数 × 网络调用次数不超过 {evaluations:,}；"
        "同一时间只为一位访客计算，其他访客排队等候。",
    ),
}

LANGUAGES = ("en", "zh")
PREFIX = "page_"  # gradio has words of its own


def _translations(number: int) -> dict[str, str]:
    return {PREFIX + key: texts[number] for key, texts in WORDS.items()}


I18N = gr.I18n(en=_translations(0), zh=_translations(1), **{"zh-CN": _translations(1), "zh-TW": _translations(1)})


def word(key: str):
    """The text of that key, which the browser puts into its language. For texts that nothing is filled into."""
    assert key in WORDS, key
    return I18N(PREFIX + key)


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
