"""The set of points ``mesh478``: which point is what, and the triangles between them.

The points are those of MediaPipe's face mesh with irises. Right and left are the *person's*: the right eye is on the
left of an unmirrored picture. All index tables are int32 and read-only.
"""

from __future__ import annotations

import zlib
from base64 import b85decode
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]

_FACE_POINTS = 468  # without the irises


@dataclass(frozen=True, slots=True, eq=False)
class EyeIndices:
    """The points of one eye. ``upper`` and ``lower`` [9] run along the lids, from outer to inner corner, both included.

    ``opening`` [16] is the loop of the two, ``lids`` all points that a blink moves (the loop and two rings around it);
    ``iris`` [5] is the pupil's centre, then four points of the rim; ``brow`` [10] belongs to the same side.
    """

    upper: Indices
    lower: Indices
    opening: Indices
    lids: Indices
    iris: Indices
    brow: Indices


@dataclass(frozen=True, slots=True, eq=False)
class MouthIndices:
    """The points of the mouth. ``upper`` and ``lower`` [11] run along the lips' inner edge from right to left corner.

    ``inner`` [20] is the loop of the two, ``outer`` [20] the loop around the lips, ``lips`` [40] the points of both.
    """

    upper: Indices
    lower: Indices
    inner: Indices
    outer: Indices
    lips: Indices


@dataclass(frozen=True, slots=True, eq=False)
class FaceMeshTopology:
    """The named points of the whole mesh; its ``triangles`` [852, 3] leave both eye openings and the inner mouth free.

    Their corners turn clockwise on the screen (x right, y down: positive cross product) where the skin faces the
    camera. ``oval`` [36] is the loop around the face, from the top of the forehead over the person's left; ``jaw`` [15]
    its lower part from ear to ear; ``rigid`` are points that hardly move but with the skull. ``forehead``, ``chin``
    and ``nose`` (tip) are single points.
    """

    triangles: Indices
    right_eye: EyeIndices
    left_eye: EyeIndices
    mouth: MouthIndices
    oval: Indices
    jaw: Indices
    rigid: Indices
    forehead: int = 10
    chin: int = 152
    nose: int = 4


def _read_only(values: object) -> Indices:
    array = np.asarray(values, np.int32)
    array.setflags(write=False)
    return array


def _close_loop(first: Indices, second: Indices) -> Indices:
    """A closed loop from two ways between the same two ends."""
    return _read_only(np.concatenate([first, second[-2:0:-1]]))


def _unpack_triangles(packed: str) -> Indices:
    """Unpack first corners as differences, then both other corners relative to the first."""
    column = np.frombuffer(zlib.decompress(b85decode(packed)), "<i2").astype(np.int32).reshape(3, -1)
    first = np.cumsum(column[0])
    return _read_only(np.stack([first, first + column[1], first + column[2]], axis=1))


def _grow_region(loop: Indices, triangles: Indices, rings: int) -> Indices:
    """The points of ``loop`` and of ``rings`` rings of triangles around it."""
    inside = np.zeros(_FACE_POINTS, bool)
    inside[loop] = True
    for _ in range(rings):
        inside[triangles[inside[triangles].any(axis=1)]] = True
    return _read_only(np.flatnonzero(inside))


def _build_eye(upper: list[int], lower: list[int], iris: list[int], brow: list[int], triangles: Indices) -> EyeIndices:
    above, below = _read_only(upper), _read_only(lower)
    opening = _close_loop(above, below)
    return EyeIndices(above, below, opening, _grow_region(opening, triangles, 2), _read_only(iris), _read_only(brow))


def _build_mouth(upper: list[int], lower: list[int], outer: list[int]) -> MouthIndices:
    above, below = _read_only(upper), _read_only(lower)
    inner = _close_loop(above, below)
    return MouthIndices(above, below, inner, _read_only(outer), _read_only(np.concatenate([inner, outer])))


# The topology of MediaPipe's FACEMESH_TESSELATION (Apache-2.0), turned the same way round and packed.
_PACKED_TRIANGLES = (
    "c-qyL{cqOQ8OE>s>C028Jbj@RDMU-(XsJMjR%QV0dkYoHfMSbPst#Lh2OX{g1uBKwqF9p3#4N}tWOSh{QR6mbBu+$~ZcZU_CYp?7$@atkg#EOA&U"
    "qfX^7Lh9_{-XSzvnsU+~+>`eV^<4UPlW5SyZbDeTy2k305}gx?8R7TaHZ?)AYMWud#3G%cfmBb!1b=Gxg4sSK21s=fCA1JvMQzO_|r!z3KLe_8A!"
    "K$3*tGs94-g^vb}bS&!d6HY$R^*zY*s3rt#Pn=}_27mrQIcw)>JWo=Ov35<)#_2Vb(WV$0#kHEP2|5Jw``Hin&IAe>{=GIJZ?soHcqLL!3XH3h1@"
    "17U8$Bh3^UQ8bQ?epS)V@1rgtcbl$PJGvl2-o1wvH3Xvo(lVcX|bNDM9bCBRY(m|m10NLtgSkyvl_5YtF-r3qz`mO|IiZb^HrcEOSi>(Pe0~4tKa"
    "FAHCd`!^@g{&q+$KkTRf$wbxbu@YlEsaQ?{)lZ1%JaWm%Q}h4o^q)e^?;vuZ7(E#%3!a#g6n7TQJqM#pV|J*zrxwQg3_TRkznsujASZ#17Bm*VA`"
    "`p9OV4(mF-&$U-yXtO@kpQzU#wOtMRRK1KGWX^O|FH(a(eW-cl)vH6~ci4{~qP?oGv0Sf@bW|OBiwxh<c|EDG^te93SGRu1sz=DXN$apEQz`S$>K"
    "7VSHhvFL$3oqwEIiIviF$Zv5%G|(UM9U`TA(})Dx}j?yoky@tTXKNef&1*O{H*>cWVbVc!wQIRL@L>*5E%GAD6X}-UZIDgeZqqsb%z6>m{9J#+XU"
    "O^Gs$(`M*GY?&o_pqL<aLE}nB#p%>dBJf6~Swc~Y|-IMey;!2{5`+0|mIT^dXN&sC!PCW~oGW;3mynq}7jOA*fa_Ci2u}UI7$7~0C&tiRw9;Jdm!"
    "}m^)gy+>l6`ufG%~aC#7@oKIcFWkai~0T3uAk}{9s@*KO})00p(#xncul4Djr2;ue;nsqsC1(2<K#M77b2^bMBd7pATv7|4L|O^!?!iql#}NJRJo"
    "K`lR<I}wR?>7>rxvl*AQz3W9!%<Uk_qs)Fg%))YHqMt<zfFO9nZ*N85-rACGf28@qHoUglSW{!WET^iOJ3phaLUm+0=&L+tt&Y%=gYmu%8l^8n~w"
    "u41wau;K<MI18OKJS1Qn;C(0A7~^q_2WVscckUYJ5uyfL*#8)uxK6~^^rdIT%OKUT`@KK!kF|&1UNFC#$UXqQ@p!#LwhfH+fcjqlrT8uQy+nVWUS"
    "Qot&*yhNZ{FqC7vz75740CtAN0Nfu0DfdZJg<DPW~cagmzz>UvoweQ^`^=HjHHepIM$6?&PwFZ9ng$<opVZFlw2}f1U<(gqno(40S5f>w1m3i|i7"
    "QzaYD&P`$O(x*fz9(+<Odb=Yj+6w6`J+l<!h1dLe<b}AUF1sQKrF=J*X_93j!!0HgZSOzl=lEqVC;~=%_1{Fj45ez@>xi$ihPH^(0+QhqyHP6w`X"
    "KtTIMgk{WN<SCN0@lPZmP4-Dv{{Tg3^!7R6EI|(XJsWB^y(*!JjraB362F0(VP7l$5Y>U+6MoGc&gw<8?`B<X6_4q1csFPnzewQbnul5UN-XW$Re"
    "stu#!$D4)6PPfR$DH9=vLSc~3C&45%~m3O`1_m3>#SN4c-b-5|Q1v1GDYgRkYRbe!&>zaDPoQ^#$@9pfvSgmpDhRkE_2dfW@HAA(79;K>Sdy$e5?"
    "T8wQjl}TeX51$!~$1yV-oEfLE6vW13o#T-{gWrkx3}Q2jet^AVS)YhXC0Yy`RY=Co>O`x;N>ynCR)j*m@0AJ;S^*wImSpcK&CbH_CVn}k%22A$JK"
    "dH<lq#%JwU%Zz_B7v}Rm^6fRT;D^(W*IUQZ2t%qgB<kHE2~8Z8=YcW4;wwnZimnhq~9H1@*So!YcI*XuRS1ILK)@K3)fpeXw*dy>585$1ByRo{vt"
    "eHZ#_Xa`kyWeu!2%ZqD=Cbj7QbQ>(9eU*$ZmV&8#I9EBTa`9goCKjY)^h)R9J+#~SAX;mq4m3fsq?^WuBTlm-m{<FY-F;S1_;~=$hd~_OB1aD3=c"
    "ZGf8@fc)Z$H#TlVFy?#p&f;J_1J9Wbe&3Fj;PcIPWdF&3M<tm&&Lu_HHz;G{Qr`6DZ9_$yD|d4oKnR`lxjEFJcYlvz~wMmIHhXvN)@7tNfD)rgMk"
    "Tfp^SbWwhLJk<25P(t_t8}9(z`S&7F9u#+Tz`71@PV>a@p&LxX{MgDZ}o3A}@>33{b+PZG~+n79kwb4ukHImE9@U$yPy7}<!o!f~8D%vn37>gNmN"
    "RLW^o8*islj+32{$2@m~u*RuW4RJc9$^^xoo|PN%wvx47#NS1~iK;GwSv%meW95UsCiO(NmX&o8m8#JXc$X7rEW4%ir17=?EBI-pGR6K|@02PQtT"
    "~k`M0x(ePWO1FO2a-Ai{*H9U(FKMEhEP~uTmfJ{@XO%oe$ofN)3XQuu^>q53Y^f-#+I2+}HOYYGq)44;~vl!sES0Z34kPj2vLjDbgYQ_7eR(qV56"
    "7PNCem(=4Y_pJQ7O_WC*H5x(!|Io%dm){H*2MU<+}Yt&jSO2PJN>gkj!+ebY9{?_g9Z?AxooA<XP{{A+=xxD7@Z%(UTXP@<WZRC3tzQ46o>+|?8C"
    "g=71UX6FBDR09Cr&LK1rK+F;VU-$U#+V7;--@vxrguL(%piw8a&szmGNMugcsvf0%zvv-u>UAgIhA_e-`~P2^<3osmQR0#OwVBdDt7MvmOsXeN`I"
    "$p!?)9enV#{<j5(#+?p3P8-_RPt+Gg%`PMLz7ifcEGJ#EbI@+#$S(`D>%1g|er`O<N>w;KE|i`?A`z@byAZgM!lo=&Nfy;cRiQnf}N_ul5)O0QH-"
    "rB?WxTf0}O4P@7W7PPSIqi`bzPjO^d3>U&TH>Xm?oL-m#b0bRCjF)V0lY&(?Xml!-PX*FEi=0Z$_O&ohDVDg4n7hN@)26zU{TpYp3bX"
)


def _build_topology() -> FaceMeshTopology:
    triangles = _unpack_triangles(_PACKED_TRIANGLES)
    return FaceMeshTopology(
        triangles=triangles,
        right_eye=_build_eye(
            upper=[33, 246, 161, 160, 159, 158, 157, 173, 133],
            lower=[33, 7, 163, 144, 145, 153, 154, 155, 133],
            iris=[468, 469, 470, 471, 472],
            brow=[46, 53, 52, 65, 55, 107, 66, 105, 63, 70],
            triangles=triangles,
        ),
        left_eye=_build_eye(
            upper=[263, 466, 388, 387, 386, 385, 384, 398, 362],
            lower=[263, 249, 390, 373, 374, 380, 381, 382, 362],
            iris=[473, 474, 475, 476, 477],
            brow=[276, 283, 282, 295, 285, 336, 296, 334, 293, 300],
            triangles=triangles,
        ),
        mouth=_build_mouth(
            upper=[78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
            lower=[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
            outer=[61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
        ),
        oval=_read_only(
            [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377]
            + [152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
        ),
        jaw=_read_only([361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132]),
        # chosen by the residuals of similarity fits over talking heads: forehead, temples, nose, cheekbones
        rigid=_read_only(
            [10, 151, 9, 8, 168, 6, 197, 195, 5, 33, 133, 362, 263, 114, 343, 188, 412, 174, 399, 122, 351]
            + [116, 345, 127, 356, 21, 251, 54, 284, 103, 332, 67, 297, 109, 338]
        ),
    )


FACE_MESH = _build_topology()
"""The one and only face mesh."""
