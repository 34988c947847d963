"""The sentences of docs/frontier_zh.md, and what stands in its tables for the English words."""

TITLES = {"Mnist_Mini": "数字", "Emoji": "Emoji"}

HEAD = """# 前沿：质量与网络调用次数

[English](frontier.md)

DDPM、v、x_0、流匹配和 EDM 以同样的方式训练，数字用 1 到 {grey_calls} 次网络调用采样，Emoji 用 1 到 {colour_calls} 次，
只有 `ddpm` 还用 1,000 次；为模型学得的时间步；
以及 1 到 4 次调用即可采样的学生模型。
测量什么、检验什么命题，都事先固定在 [table.py](../benchmarks/frontier/table.py) 中。本页由以下命令生成：

```bash
python -m benchmarks.frontier        # 训练、采样、测量；中断后用同一命令继续；约需单核 90 分钟
python -m benchmarks.frontier.page   # 由记录生成本页和曲线图
```

**比较什么。** 在内置图片上训练的小网络，每种形式训练 {trainings} 次，彼此只差第一张表中的设置：
网络、优化器、批大小（16）、步数、平方误差和恒定的学习率都相同。
每一步的开销相同，因此步数相等就是处理器秒数相等；表中列出实际用时（平均值 ± 标准差），测量时机器上还有别的任务。
`ddpm`、`v`、`x_0` 均匀地抽取 t；`flow` 和 `edm`
使用各自的分布（[flow_zh.md](flow_zh.md)）。除 `flow` 外都用 cosine 噪声表。学习率取自 [config.yaml](../config.yaml) 中的条目，
它们是为数字的 `edm` 和 emoji 的 `x_0` 选定的。
所以结论只针对这些设置下的短训练。

**如何采样。** 所有形式都用均匀时间步的 DPM-Solver++（`DPMPP`）采样：二阶，每步一次调用，适用于任何形式。
旁边是其中几种形式发表时所用的采样器：DDPM 自己的链（`DDPM`），
流匹配的欧拉步（`DDIM`、eta 为 0，与之相同），EDM 的 Heun（`EDM`，用它自己的噪声级，除最后一步外每步两次调用）。
`v` 和 `x_0` 没有自己的采样器。都不用引导。
都从 t = T - 1 开始；在 cosine 噪声表上，那里噪声的误差会成为 x_0 的 20,000 倍大的误差，然后被裁剪：只有 `ddpm` 预测噪声。

**到多少次调用为止。** 只有 DDPM 自己的链用到发表时的 1,000 次。ODE 求解器的步长足够小之后，再加步数不再有收益：
`DPMPP` 在 {grey_steps} 步时，数字的 KID 为 {grey_last}。
Emoji 的特征提取较慢，没有测更多的步数，{colour_steps} 步时为 {colour_last}。
除 `x_0` 外变化都不到 2 %。`x_0` 在两者上都还在下降：它的最后一个数值未必是它能达到的最小值。

**指标。** KID，即到训练图片的核距离，取自我们的数字分类器或 EfficientNet-lite0 的特征：越小越好，真实图片为 0；
数字与 emoji 的值不能相互比较。
每次训练生成 {pictures} 张图片，共 {total:,} 张。表中为各次训练的平均值和标准差；括号内是实际调用次数（少于该列时）。
有多个数值的列中，最小的平均值为粗体，这并不说明任何结论：
结论按[同一规则](experiments.md#the-rule)得出，各命题及其区间见[英文页](frontier.md)。秒数是进程自身的处理器秒数，单线程。
"""

PLOT = """误差线是各次训练的标准差；对检查点则是各组图片的标准差。相同种子的各组图片同升同降，
所以误差线重叠说明不了什么，结论以英文页各表下的命题为准。
学得的时间步的曲线左右略微错开，都在 4、6、10 次调用处。最后一幅是学生的目标所用的 FD，
灰线和灰带是教师用其模型卡中的采样器，另两条线是其平均值的 1.2 倍和 2 倍。"""

CHECKPOINTS = """## 附带的数字模型

均为 `{checkpoint}`，这里不训练；代替各次训练的是几组不同种子的图片（学得的时间步 4 组，学生 8 组），
所以结论只针对这一个检查点。
FD 是在附带分类器的特征中到训练图片的 Frechet 距离；
图片组越小它越大，因此只能在同一张表内比较。"""

TUNING = """### 为模型学得的时间步

`DPMPP`，不用引导，每组 250 张图片。`tuned` 是 `python -m sampling.schedule` 用另外 32 张图片为这个检查点学得的时间步，
没有用到真实图片。"""

STUDENTS = """### 学生模型

教师使用其模型卡中的采样器 `{sampler}`；学生使用 `CM`，每步一次调用。每组 1,000 张图片；留出的真实图片的距离是下限。
教师的其他采样器（包括 DDPM_1000）见
[results_zh.md](results_zh.md)。"""

CLAIMS = """判断的是相同种子的 Frechet 距离之差，其中教师的距离乘以倍数。“不超过若干倍”是一个上界：
95 % 区间全在 0 以下则成立，全在 0 以上则不成立。
2026-11-25 之前按 `less`（界限 0.05）判断：当时的学生在 4 次调用时为 1.19 倍，差为 -0.0014，
在界限之内，判为不成立；按上界则为未定。更改规则、并把 4 组图片增加到 8 组时，
已知这些数值，但还没有任何后来的学生的数值。
"""

WORDS = {
    "not yet measured": "尚未测量",
    "does not hold": "不成立",
    "not decided": "未定",
    "holds": "成立",
    "seconds a picture": "每张图片秒数",
    "seconds a training": "每次训练秒数",
    "times the teacher's": "教师的倍数",
    "real, held out": "留出的真实图片",
    "steps a training": "步（每次训练）",
    "Nothing was measured yet.": "尚未测量。",
    "All figures": "全部数据",
    " cores.": " 核。",
    "solver": "求解器",
    "sampler": "采样器",
    "timesteps": "时间步",
    " calls: ": " 次调用：",
    "| calls |": "| 调用次数 |",
    "| variant | settings |": "| 形式 | 设置 |",
    "| teacher |": "| 教师 |",
    "| student |": "| 学生 |",
}
