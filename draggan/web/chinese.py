"""The page in Chinese: for each thing that it says in English, what it says to a browser that prefers Chinese."""

CHINESE = {
    # the page
    "# draggan\nClick a **handle** (blue) and its **target** (red ring), or draw from one to the other, and press "
    "**Drag it**. Paint\nwhite what **may move**, or nothing: then all may.": (
        "# draggan\n点击**控制点**（蓝色）和它的**目标点**（红圈），或从一点拖到另一点，然后按**开始拖动**。"
        "用白色涂出**可以移动**的区域；不涂则整幅图都可以变。"
    ),
    "Model": "模型",
    "Open a model file": "打开模型文件",
    "Seed": "种子",
    "Truncation psi": "截断系数 psi",
    "Class": "类别",
    "New image": "生成图像",
    "Random": "随机",
    "Start from": "从这里开始",
    "Examples": "示例",
    "More seeds": "更多种子",
    "Style": "风格",
    "The layers that do not move, from another seed: other colours, the same shape.": (
        "不移动的那些层取自另一个种子：颜色改变，形状不变。"
    ),
    "Apply style": "应用风格",
    "Drag settings": "拖动设置",
    "Reset settings": "恢复默认设置",
    "Save": "保存",
    "With points": "包含控制点",
    "Picture": "图像",
    "Before and after": "前后对比",
    "Video": "视频",
    "GIF": "GIF 动图",
    "Latent": "潜变量",
    "Drag it": "开始拖动",
    "Continue": "继续",
    "Stop": "停止",
    "Undo": "撤销",
    "Redo": "重做",
    "Clear points": "清除控制点",
    "Reset image": "还原图像",
    # settings
    "Engine": "算法",
    "kinematics: a few large steps, each solved for; draggan: the paper's, many small ones": (
        "kinematics：步子大而少，每步求解；draggan：论文的方法，步子小而多"
    ),
    "Open a session": "打开会话",
    "Session": "会话",
    "The server does not answer. Until it does nothing can change; your picture, points and mask are kept here.": (
        "服务器没有响应。恢复之前无法修改；您的图像、控制点和蒙版都保存在这里。"
    ),
    "The server does not answer. Until it does nothing can change; your picture, without its details, points and mask "
    "are kept here.": "服务器没有响应。恢复之前无法修改；您的图像（不含细节）、控制点和蒙版保存在这里。",
    "The server does not answer. Until it does nothing can change; your picture is not kept here.": (
        "服务器没有响应。恢复之前无法修改；您的图像没有保存在这里。"
    ),
    "Your browser cannot keep the details of this picture: press Session to save them.": (
        "您的浏览器无法保存这幅图像的细节：请按“会话”保存。"
    ),
    "Your browser cannot keep this picture: press Session to save it.": (
        "您的浏览器无法保存这幅图像：请按“会话”保存。"
    ),
    "What this tab kept could not be opened: {why}. It is kept until you make something new or open a session.": (
        "此页保存的内容无法打开：{why}。在您生成新内容或打开会话之前会一直保留。"
    ),
    "Your picture": "您的图片",
    (
        "Any photo; it goes no further than the machine that serves this page, and is deleted there with the tab. Your "
        "browser keeps it a week longer."
    ): "任意照片；只会传到提供本页的机器，关闭页面后从那里删除。您的浏览器会再保留一周。",
    "Upload a picture": "上传图片",
    "Steps": "步数",
    "Reconstruct": "重建",
    "Cancel": "取消",
    "Use it now": "现在就用",
    "Bring back details (slower)": "恢复细节（较慢）",
    "Paste into the picture": "贴回原图",
    "Move your picture, enlarge it with the wheel, turn it with Shift and the wheel; then press Reconstruct.": (
        "拖动移动图片，滚轮缩放，Shift 加滚轮旋转；然后按“重建”。"
    ),
    "Reading your picture ...": "正在读取您的图片……",
    "Reconstructing: looking for a start ...": "正在重建：寻找起点……",
    "Move your picture with one finger, enlarge and turn it with two; then press Reconstruct.": (
        "单指移动图片，双指缩放和旋转；然后按“重建”。"
    ),
    "Reconstructing, step {step} of {steps}: {near} dB": "正在重建，第 {step} 步，共 {steps} 步：{near} dB",
    "Bringing back details, step {step} of {steps}: {near} dB": (
        "正在恢复细节，第 {step} 步，共 {steps} 步：{near} dB"
    ),
    "Only roughly like your picture ({near}): expect a drag to change more than you ask for. Now click a point, "
    "then where it should go.": (
        "与您的图片只是大致相似（{near}）：拖动时变化可能超出预期。现在点击一点，再点击它应去的位置。"
    ),
    "Close to your picture ({near}). Now click a point, then where it should go.": (
        "与您的图片接近（{near}）。现在点击一点，再点击它应去的位置。"
    ),
    "Nearly the same as your picture ({near}). Now click a point, then where it should go.": (
        "与您的图片几乎相同（{near}）。现在点击一点，再点击它应去的位置。"
    ),
    # what was changed of a picture of one's own
    "several pictures: the first is used": "含多幅图像：使用第一幅",
    "an animation: its first frame is used": "动画：使用第一帧",
    "turned upright, as its camera says": "已按相机信息转正",
    "grey: it becomes a colour picture without colours": "灰度图：转为没有颜色的彩色图像",
    "other kinds of colours (CMYK, LAB, ..) become RGB": "其他色彩模式（CMYK、LAB 等）转为 RGB",
    "a palette becomes full colours": "调色板转为全彩",
    "transparent parts become white": "透明部分变为白色",
    "its colour profile cannot be used and is left out": "其色彩配置文件无法使用，已忽略",
    "colours of its colour profile become sRGB": "色彩配置文件的颜色转为 sRGB",
    "16 bits a grey become 8": "16 位灰度转为 8 位",
    "32 bits a grey become 8": "32 位灰度转为 8 位",
    "numbers become greys, the least black and the largest white": "数值转为灰度：最小为黑，最大为白",
    # settings of a drag
    "Precision": "精度",
    "Of a drag's multiplications; auto: the fastest here whose drags are as good": (
        "拖动时乘法的精度\uff1bauto\uff1a自动选择本机最快且效果不变的精度"
    ),
    "Step size": "步长",
    "Larger is faster and less even": "越大越快，也越不平稳",
    "Max steps": "最多步数",
    "Of one press of Drag it": "每按一次“开始拖动”的步数",
    "Latent space": "潜空间",
    "w_plus goes farther, w stays more natural": "w_plus 移动范围更大，w 更自然",
    "Moving layers": "移动的层数",
    "The first ones shape, the others colour": "前面的层决定形状，其余决定颜色",
    "Feature block": "特征层",
    "Whose features are compared, in cells a side": "用来比较的特征图，以每边格数计",
    "Handle radius r1": "控制半径 r1",
    "Pixels of 512 around a handle that are pulled": "控制点周围被拉动的像素（以 512 为边长）",
    "Search radius r2": "搜索半径 r2",
    "Pixels of 512 within which a handle is found again": "重新寻找控制点的范围（以 512 为边长）",
    "Mask weight (lambda)": "蒙版权重（lambda）",
    "How firmly all outside the mask is held": "蒙版以外保持不变的力度",
    "Arrived within": "到达误差",
    "Pixels; 0: 1, and with more than 5 points 2": "像素；0 表示 1 像素，多于 5 个点时 2 像素",
    # the canvas
    "Tools of the canvas": "画布工具",
    "Points": "控制点",
    "Click a handle, then its target; or draw from one to the other. A double click makes a point that stays": (
        "先点控制点，再点目标点；或从一点拖到另一点。双击设定固定不动的点"
    ),
    "Live": "实时",
    "Press on the picture and pull: it follows the mouse until you let go": "按住图像拖动：图像跟随鼠标，直到松开",
    "May move": "可移动",
    "Paint the region that may change": "涂出可以改变的区域",
    "Must stay": "须保持",
    "Paint the region that must stay as it is": "涂出必须保持原样的区域",
    "Eraser": "橡皮",
    "Take paint away": "擦去涂色",
    "Compare": "对比",
    "Hold to see the picture before the edits (key C)": "按住查看原图（C 键）",
    "Smaller (key -)": "缩小（- 键）",
    "Zoom out": "缩小",
    "The whole picture (key 0)": "整幅图像（0 键）",
    "Fit": "全图",
    "Larger (key +, or Ctrl and the wheel)": "放大（+ 键，或 Ctrl 加滚轮）",
    "Zoom in": "放大",
    "The picture. Click a handle, then its target, or go there with the arrow keys and press Enter. Enter on a point "
    "selects it: then the arrow keys move it, Delete removes it. Space drags and stops, Escape drops a handle that "
    "waits.": (
        "图像。先点控制点，再点目标点；也可用方向键移到该处并按 Enter。在点上按 Enter 选中它：方向键移动，Delete 删除。"
        "空格键开始或停止拖动，Esc 取消未完成的控制点。"
    ),
    "The picture being edited": "正在编辑的图像",
    "before the edits": "原图",
    "Progress": "进度",
    "Mask": "蒙版",
    "Size": "大小",
    "Keys [ and ]": "[ 键和 ] 键",
    "Brush size": "画笔大小",
    "Invert": "反选",
    "What may move shall stay, and the other way round": "可移动的变为须保持，反之亦然",
    "Clear": "清除",
    "Let the whole picture change again": "整幅图像都可以改变",
    "Clear mask": "清除蒙版",
    "Load": "载入",
    "A mask from a black and white picture: white may move": "从黑白图像载入蒙版：白色可以移动",
    "Load mask": "载入蒙版",
    "The mask as a black and white PNG: white may move": "将蒙版存为黑白 PNG:白色可以移动",
    "Save mask": "保存蒙版",
    "Mask file": "蒙版文件",
    "Nothing is white: all may move.": "没有白色区域：整幅图都可以变。",
    "Pixels to go, step by step; thin: the loss": "每一步剩余的像素；细线：损失",
    "Press on any point, and draw to where it should go": "按住任意一点，拖到它应去的地方",
    "Pictures to go back to": "可以返回的图像",
    "Go back to this picture": "回到这幅图像",
    "Go back to the first picture": "回到第一幅图像",
    "Remove": "删除",
    "Remove point {number}": "删除第 {number} 个点",
    "Point {number} selected": "已选中第 {number} 个点",
    "Point {number}: {far} to go": "第 {number} 个点：还差 {far}",
    "No points yet. Press on the picture and draw to where it should go.": "还没有控制点。按住图像，拖到它应去的地方。",
    "{name} is not a picture that can be read.": "{name} 不是可读取的图像。",
    "Drop a picture, a session or a model here": "在此放下图片、会话或模型",
    "{name} is no picture, no session and no model.": "{name} 不是图像、会话或模型。",
    "The picture is copied.": "图像已复制。",
    "Your browser does not let this page copy the picture: press Picture to save it.": (
        "您的浏览器不允许此页复制图像：请按“图像”保存。"
    ),
    # examples
    "Turn the head": "转头",
    "Longer ears": "长耳朵",
    "Look up": "抬头",
    "Tilt the head": "歪头",
    # where an edit stands
    "Drawing the first picture ...": "正在绘制第一幅图像……",
    "Now click the place where that point should go.": "现在点击这个点应去的位置。",
    "Click a point of the picture, then the place where it should go.": "先点击图像上的一点，再点击它应去的位置。",
    "Step {step}: {far} px to go": "第 {step} 步：还差 {far} 像素",
    "Step {step}: {far} px to go. 1 other drag too: each waits its turn.": (
        "第 {step} 步：还差 {far} 像素。另有 1 个拖动在进行，轮流计算。"
    ),
    "Step {step}: {far} px to go. {others} others drag too: each waits its turn.": (
        "第 {step} 步：还差 {far} 像素。另有 {others} 个拖动在进行，轮流计算。"
    ),
    "No place is free. Places: {most}; waiting before you: {before}. Leave this tab open: it goes on by itself as "
    "soon as there is one.": "全部 {most} 个位置已满，您前面还有 {before} 人等待：请保持此页打开，有空位时会自动继续。",
    "Arrived after {step} steps. To go on, move a target or add a point.": (
        "经过 {step} 步到达目标。要继续，请移动目标或添加点。"
    ),
    "Step {step}, {far} px to go: the steps are used up. Continue goes on.": (
        "第 {step} 步，还差 {far} 像素：步数已用完。按“继续”接着拖动。"
    ),
    "Stopped at step {step}, {far} px to go. Continue goes on.": (
        "停在第 {step} 步，还差 {far} 像素。按“继续”接着拖动。"
    ),
    "1 point, {far} px to go. Add more, or press Drag it.": "1 个点，还差 {far} 像素。可再添加，或按“开始拖动”。",
    "{points} points, {far} px to go. Add more, or press Drag it.": (
        "{points} 个点，还差 {far} 像素。可再添加，或按“开始拖动”。"
    ),
    "Step {step}: point {point} comes no nearer than {far} px. What lies outside the mask may hold it: paint more, or "
    "lower the mask weight. Continue tries again.": (
        "第 {step} 步：第 {point} 个点无法再靠近，还差 {far} 像素。可能被蒙版以外的区域牵住："
        "请扩大涂色，或降低蒙版权重。按“继续”再试。"
    ),
    "Step {step}: point {point} comes no nearer than {far} px. It no longer looks like itself: take it elsewhere, or "
    "choose a nearer target. Continue tries again.": (
        "第 {step} 步：第 {point} 个点无法再靠近，还差 {far} 像素。该处的样子已变，难以跟踪：请换一个位置，"
        "或选更近的目标。按“继续”再试。"
    ),
    "Step {step}: point {point} comes no nearer than {far} px. The points may pull against each other: move or remove "
    "one. Continue tries again.": (
        "第 {step} 步：第 {point} 个点无法再靠近，还差 {far} 像素。各点可能互相牵制：请移动或删除一个。按“继续”再试。"
    ),
    "Step {step}: point {point} comes no nearer than {far} px. This model may go no further that way: choose a nearer "
    "target. Continue tries again.": (
        "第 {step} 步：第 {point} 个点无法再靠近，还差 {far} 像素。模型在这个方向可能已到极限：请选更近的目标。"
        "按“继续”再试。"
    ),
    "Drawing frame {number} of {all} ...": "正在绘制第 {number} 帧，共 {all} 帧……",
    "Drawing ...": "正在绘制……",
    "Loading {model} ...": "正在载入 {model}……",
    "Preparing {model}, once ...": "正在为首次拖动准备 {model}……",
    "Waiting for {model}{note}": "等待 {model}{note}",
    "Checking {model} ...": "正在校验 {model}……",
    "Downloading {model}: {come}{note}": "正在下载 {model}：{come}{note}",
    "Downloading {model}: {come}{note}. Stop keeps what has come.": (
        "正在下载 {model}：{come}{note}。按“停止”会保留已下载的部分。"
    ),
    # models
    "{name}: {shows}, {width} x {height}, {size} MB, {memory} MB in memory": (
        "{name}：{shows}，{width} x {height}，约 {size} MB，占用内存约 {memory} MB"
    ),
    "{name}: {shows}, {width} x {height}, {size} MB, {memory} MB in memory, non-commercial use only": (
        "{name}：{shows}，{width} x {height}，约 {size} MB，占用内存约 {memory} MB，仅限非商业用途"
    ),
    "plush animal heads": "毛绒动物头像",
    "faces": "人脸",
    "faces in paintings and sculptures": "绘画和雕塑中的人脸",
    "people from head to foot": "全身人像",
    "cats": "猫",
    "churches": "教堂",
    "horses": "马",
    "cars, between black bars (512 x 384)": "汽车，上下有黑边（512 x 384）",
    "heads of cats": "猫的头像",
    "heads of dogs": "狗的头像",
    "heads of foxes and big cats": "狐狸和大型猫科动物的头像",
    "breast tissue under the microscope": "显微镜下的乳腺组织",
    "bicycles, in photos from the internet": "网络照片中的自行车",
    "dogs, in photos from the internet": "网络照片中的狗",
    "elephants, in photos from the internet": "网络照片中的大象",
    "giraffes, in photos from the internet": "网络照片中的长颈鹿",
    "horses, in photos from the internet": "网络照片中的马",
    "lions, in photos from the internet": "网络照片中的狮子",
    "parrots, in photos from the internet": "网络照片中的鹦鹉",
    # errors
    "That did not work, for a reason that nobody expected. Nothing is lost; the server's log says more.": (
        "操作没有成功，原因出乎意料。没有丢失任何内容；详情见服务器日志。"
    ),
    "Out of memory. Nothing is lost: choose a smaller model, or start again with --device cpu.": (
        "内存不足。没有丢失任何内容：请选择较小的模型，或用 --device cpu 重新启动。"
    ),
    "This server could not download {file}:{tried}\n"
    "Try again later, or have {files} put into the folder of its models by hand.": (
        "服务器无法下载 {file}：{tried}\n请稍后再试，或请人手动把 {files} 放入服务器的模型文件夹。"
    ),
    "{name} is {value}: give it a value from {least} to {most}.": (
        "“{name}”为 {value}：请填写 {least} 到 {most} 之间的值。"
    ),
    "{name} is {value}: give it a value of {least} or more.": "“{name}”为 {value}：请填写不小于 {least} 的值。",
    "the file of {name} is not here: choose the model again, which downloads it": (
        "{name} 的文件不在这里：请重新选择该模型，它会被下载。"
    ),
    "it could not be sent: reload the page": "无法发送：请重新加载页面",
    "{name} is empty: give it a value.": "“{name}”为空：请填写。",
    "{name} is empty: give it a value, or press Reset settings.": "“{name}”为空：请填写，或按“恢复默认设置”。",
    "there is no picture in this tab: wait for the first one, or reload the page": (
        "此页还没有图像：请等待第一幅图像，或重新加载页面"
    ),
    "{name} is too large to be sent ({width} x {height}): have the server started with it, as --model": (
        "{name} 太大，不能上传（{width} x {height}）：请在启动服务器时用 --model 指定"
    ),
    "this tab has no place: reload the page": "此页没有名额：请重新加载页面",
    "something is running: wait for its end": "正在运行：请等待结束",
    "something is running: wait for its end, or press Stop": "正在运行：请等待结束，或按“停止”",
    "your picture is being framed: press Reconstruct or Cancel first": ("正在取景您的图片：请先按“重建”或“取消”"),
    "there is nothing to drag yet: click a point of the picture, then where it should go": (
        "还没有可拖动的点：先点击图像上的一点，再点击它应去的位置"
    ),
    "there is no way to show yet: drag the picture first": "还没有可以播放的过程：请先拖动图像",
    "there is no picture to paste into: upload one under Your picture first": (
        "没有可以贴回的原图：请先在“您的图片”中上传一张"
    ),
    "this session does not have the whole picture: press Session, then use draggan drag --session FILE --paste-into "
    "PICTURE": "此会话不含完整的原图：请按“会话”保存，再使用 draggan drag --session FILE --paste-into PICTURE",
    "the browser has lost the details of your picture and the whole of it: it is shown without them": (
        "浏览器丢失了您的图像的细节和完整的原图：现在显示的图像不含这些"
    ),
    "{file} is not a session that can be read: {why}; save or copy it again, or open another": (
        "{file} 不是可读取的会话（{why}）：请重新保存或复制，或打开另一个"
    ),
    "it is damaged, or a file of another kind": "文件已损坏，或是其他类型的文件",
    "it is another kind of safetensors file": "这是其他类型的 safetensors 文件",
    "its document is too long": "内容过长",
    "its document is damaged": "内容已损坏",
    "its points are damaged": "其中的点已损坏",
    "its mask is damaged": "其中的蒙版已损坏",
    "its drag is damaged": "其中的拖动状态已损坏",
    "its film is damaged": "其中的过程记录已损坏",
    "its picture is damaged": "其中的图片已损坏",
    "its settings are damaged": "其中的设置已损坏",
    "{file} are not the details of a picture that can be read: {why}": "{file} 不是可读取的图像细节（{why}）",
    "the session was made with another model than {name} is here: find its own file": (
        "此会话使用的模型与这里的 {name} 不同：请找到它原来的模型文件"
    ),
    "something is running: stop it before the session is saved": "正在运行：请先停止，再保存会话",
    "{file} is not a generator that can be read: {why}": "{file} 不是可读取的生成器模型：{why}",
    "it holds no StyleGAN2 generator: neither G_ema, nor (G, D, Gs), nor g_ema": (
        "其中没有 StyleGAN2 生成器：既没有 G_ema，也没有 (G, D, Gs) 或 g_ema"
    ),
    "a StyleGAN3 generator: choose a StyleGAN2 one of the same data, StyleGAN3 cannot be run": (
        "这是 StyleGAN3 生成器，无法运行：请选择用同样数据训练的 StyleGAN2 模型"
    ),
    "a generator of the resnet architecture: only the skip architecture can be read": (
        "这是 resnet 结构的生成器：只能读取 skip 结构"
    ),
    "its metadata has no config: convert the original file again": "元数据中没有配置：请重新转换原始文件",
    "it was written on a big-endian machine: save it again on a little-endian one": (
        "它是在大端序机器上写的：请在小端序机器上重新保存"
    ),
    "a PyTorch file of an unknown version": "未知版本的 PyTorch 文件",
    "a zip archive, but not a PyTorch file: it has no data.pkl": "这是 zip 压缩包，但不是 PyTorch 文件：没有 data.pkl",
    "a numpy array of a type that cannot be read: only little-endian numbers can": (
        "其中的 numpy 数组类型无法读取：只支持小端序数值"
    ),
    "the drag diverged at step {step}: go back to an earlier step and lower lr, the step size": (
        "拖动在第 {step} 步发散：请退回到较早的一步，并减小步长（lr）"
    ),
    "the drag diverged at step {step}: raise damping, or lower stride or mask_weight": (
        "拖动在第 {step} 步发散：请增大 damping，或减小 stride 或 mask_weight"
    ),
    "the reconstruction diverged at step {step}: lower lr": "重建在第 {step} 步发散：请减小 lr",
    "the tuning diverged at step {step}: lower lr": "细节恢复在第 {step} 步发散：请减小 lr",
    "no such file: {file}": "没有这个文件：{file}",
    "there is a handle at {point} already: choose another place": "{point} 处已有控制点：请选择其他位置",
    "there are {most} points already, the most that one drag takes: remove one first": (
        "已有 {most} 个点，一次拖动最多这么多：请先删除一个"
    ),
    "{name} is empty: save or copy it again": "{name} 是空文件：请重新保存或复制",
    "{name} has more than {most} scans: save it again": "{name} 的扫描超过 {most} 次：请重新保存",
    "{name} cannot be opened ({why}): allow that it is read": "{name} 无法打开（{why}）：请允许读取",
    "{name} is not a picture that can be read: save it as PNG or JPEG": (
        "{name} 不是可读取的图像：请另存为 PNG 或 JPEG"
    ),
    "{name} is damaged ({why}): save or copy it again": "{name} 已损坏（{why}）：请重新保存或复制",
    "{name} says that it has more than {most} million pixels: make it smaller first": (
        "{name} 标明的像素超过 {most} 百万：请先缩小"
    ),
    "{name} has {size} pixels: use one of at least {least} x {least}": (
        "{name} 为 {size} 像素：请使用至少 {least} x {least} 的图像"
    ),
    "there is no picture to reconstruct: upload one first": "没有可以重建的图片：请先上传一张",
    "the session was made with the model file {file}: open that file first": (
        "此会话使用的模型文件是 {file}：请先打开该文件"
    ),
}
